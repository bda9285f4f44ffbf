"""A job's child process: `python -m training fine-tune --job <folder>`, started, stopped, and judged by its end."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from contract.job_events import EVENTS_FILE, Event, read_events
from contract.job_spec import LOG_FILE


class Child:
    """One attempt at a job. In a session of its own, so that Ctrl-C at a terminal reaches its worker alone."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process, start: int) -> None:
        self._folder = folder
        self._process = process
        self._start = start

    @classmethod
    async def start(cls, folder: Path, environment: Mapping[str, str]) -> "Child":
        """Start an attempt at the job in `folder`; what the child prints is added to its log there.

        It must be started from a thread that lasts as long as the worker: the child asks to be killed when that
        thread ends.
        """
        events = folder / EVENTS_FILE
        start = events.stat().st_size if events.exists() else 0
        with (folder / LOG_FILE).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "training", "fine-tune", "--job", str(folder)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        return cls(folder, process, start)

    @property
    def pid(self) -> int:
        """The process, which is the leader of its group."""
        return self._process.pid

    async def wait(self) -> int:
        """The exit status, once there is one; minus a signal's number for a child that it killed."""
        return await self._process.wait()

    async def stop(self, grace_seconds: float) -> int:
        """Ask the child to stop, kill it when it has not after `grace_seconds`, and return its exit status."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            return await asyncio.wait_for(self._process.wait(), grace_seconds)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            return await self._process.wait()

    def made_progress(self) -> bool:
        """Whether this attempt finished an epoch."""
        return any(event.type == "metrics" for event in self._told())

    def why_failed(self) -> Event | None:
        """The event by which this attempt said why it failed."""
        return next((event for event in reversed(self._told()) if event.data.get("kind") == "failed"), None)

    def _told(self) -> list[Event]:
        return [event for _, event in read_events(self._folder, self._start)]


def published(folder: Path) -> str | None:
    """The version that the job in `folder` has published, as `name/version`."""
    models: list[Any] = [event.data.get("model") for _, event in read_events(folder) if _is_published(event)]
    return str(models[-1]) if models else None


def _is_published(event: Event) -> bool:
    return event.data.get("kind") == "published"
