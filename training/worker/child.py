"""A job's child process, `python -m training fine-tune --job <folder>`: start, stop, and how it ended."""

import asyncio
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from contract.errors import Failure
from contract.job_events import (
    EVENTS_FILE,
    EpochDone,
    Failed,
    Published,
    Started,
    read_events,
    read_events_backwards,
)
from contract.job_spec import ALIVE_FILE, LOG_FILE


class Child(ABC):
    """One attempt at a job, wherever it runs, and what it has written into the job's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ALIVE_FILE).touch()
        events = folder / EVENTS_FILE
        self._start = events.stat().st_size if events.exists() else 0

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it runs, for the log."""

    @abstractmethod
    async def wait(self) -> int:
        """The exit status, once the child has ended; minus the signal's number for a child that a signal killed."""

    @abstractmethod
    async def stop(self, grace_seconds: float) -> int:
        """Ask the child to stop, kill it after `grace_seconds`, and return its exit status."""

    def last_sign(self) -> int:
        """When the child gave its last sign of life, as a number that changes with each one."""
        try:
            return (self.folder / ALIVE_FILE).stat().st_mtime_ns
        except OSError:
            return 0

    def has_started(self) -> bool:
        """Whether this attempt has its device."""
        return any(isinstance(event.data, Started) for _, event in read_events(self.folder, self._start))

    def made_progress(self) -> bool:
        """Whether this attempt finished an epoch."""
        return any(isinstance(event.data, EpochDone) for _, event in read_events(self.folder, self._start))

    def failure(self) -> Failure | None:
        """Why this attempt failed, as it reported last; None where it did not report."""
        for end, event in read_events_backwards(self.folder):
            if end <= self._start:
                break
            if isinstance(event.data, Failed):
                return Failure(event.data.code, event.message, event.data.param)
        return None


Launch = Callable[[Path, Mapping[str, str]], Awaitable[Child]]
"""Starts an attempt at the job in a folder, with an environment."""


class LocalChild(Child):
    """A process beside the worker, in a session of its own, so that Ctrl-C at a terminal reaches the worker alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, folder: Path, environment: Mapping[str, str]) -> "LocalChild":
        """Start an attempt at the job in `folder`; the child's output is appended to its log there.

        Call this from a thread that lives as long as the worker: the child asks to be killed when that thread ends.
        """
        child = cls(folder)
        with (folder / LOG_FILE).open("ab") as log:
            child._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "training", "fine-tune", "--job", str(folder)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        return child

    @property
    def place(self) -> str:
        """Its process id; it leads its process group."""
        return f"process {self._process.pid}"

    async def wait(self) -> int:
        """The exit status, once the child has ended; minus the signal's number for a child that a signal killed."""
        return await self._process.wait()

    async def stop(self, grace_seconds: float) -> int:
        """Ask the child to stop, kill it after `grace_seconds`, and return its exit status."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            return await asyncio.wait_for(self._process.wait(), grace_seconds)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            return await self._process.wait()


def has_published(folder: Path) -> bool:
    """Whether the job in `folder` has published its version."""
    return any(isinstance(event.data, Published) for _, event in read_events_backwards(folder))
