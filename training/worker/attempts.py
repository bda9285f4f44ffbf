"""One job on a worker: attempts at it, each a child process, until one of them ends the job.

A child that was killed is started again and continues from the last whole epoch. A job whose child is killed several
times in a row without finishing an epoch fails.
"""

import asyncio
import logging
import math
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import DISK_FULL_ERRNOS, Failure, InsufficientStorage, ServiceError
from contract.files import replacing
from contract.job_events import Data, Killed, Stopped, append_event
from contract.job_spec import BUSY, SPEC_FILE, JobSpec
from training.worker.child import Child, Launch, LocalChild, has_published
from training.worker.watch import Overdue, until_overdue

DEATHS_WITHOUT_PROGRESS = 3
BUSY_SECONDS = 1.0

log = logging.getLogger(__name__)


class JobFailed(Exception):
    """The job failed; `failure` is its outcome."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Attempts:
    """The attempts of a worker at a job, in the job's folder, with the environment that its children get.

    A child gets `grace_seconds` to stop. One that gives no sign of life for `stall_seconds` is killed. The attempts may
    train for `train_seconds` altogether.
    """

    def __init__(
        self,
        spec: JobSpec,
        folder: Path,
        environment: Mapping[str, str],
        *,
        grace_seconds: float,
        stall_seconds: float = math.inf,
        train_seconds: float = math.inf,
        launch: Launch = LocalChild.start,
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._environment = environment
        self._grace_seconds = grace_seconds
        self._stall_seconds = stall_seconds
        self._train_seconds = train_seconds
        self._launch = launch
        self._deaths = 0

    async def run(self, lost: asyncio.Future[Any], stopping: asyncio.Future[Any]) -> bool:
        """Run attempts until one publishes the new version: True. `JobFailed` for a job that has failed.

        False, with no child left, once the job is `lost`, so that its outcome is for somebody else to write, or once
        the worker is `stopping` before there is an outcome.
        """
        self._prepare()
        while not (lost.done() or stopping.done()):
            try:
                child, status, overdue = await self._attempt(lost, stopping)
            except OSError as error:
                raise _unusable(error) from error
            if lost.done():
                log.info("job %s is no longer this worker's", self._spec.id)
            elif status == 0:
                if not has_published(self._folder):
                    raise _failed("the fine-tuning ended without a new version; its log is in the job's folder")
                return True
            elif stopping.done():
                self._report("stopped: the worker is shutting down", Stopped())
            elif status == BUSY:  # the previous child is still being stopped, by another worker
                await asyncio.wait({lost, stopping}, timeout=BUSY_SECONDS)
            elif overdue == "time_limit":
                hours = f"{self._train_seconds / 3600:g} hours"
                raise _failed(f"trained for {hours}, which is the limit; resume the job to go on", code="time_limit")
            elif number := _signal(status):
                silent = f": no sign of life for {self._stall_seconds:g} s" if overdue == "stalled" else ""
                self._count_death(child, number, silent)
            else:
                raise _failed_by(child, status)
        return False

    async def _attempt(self, *stops: asyncio.Future[Any]) -> tuple[Child, int, Overdue | None]:
        """A child, stopped when one of `stops` is done or it is overdue, its exit status, and what was overdue."""
        child = await self._launch(self._folder, self._environment)
        log.info("job %s runs as %s", self._spec.id, child.place)
        watch = asyncio.create_task(until_overdue(child, self._stall_seconds, self._train_seconds))
        ends: list[asyncio.Future[Any]] = [asyncio.create_task(child.wait()), watch, *stops]
        overdue: Overdue | None = None
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            overdue = watch.result() if watch.done() else None
        finally:
            watch.cancel()
            grace = 0.0 if overdue == "stalled" else self._grace_seconds
            status = await asyncio.shield(child.stop(grace))
        return child, status, overdue

    def _count_death(self, child: Child, number: int, why: str) -> None:
        self._report(f"killed by {signal.Signals(number).name}{why}", Killed(signal=number))
        self._deaths = 1 if child.made_progress() else self._deaths + 1
        if self._deaths > DEATHS_WITHOUT_PROGRESS:
            raise _failed(f"killed {self._deaths} times in a row without finishing an epoch", code="killed")

    def _prepare(self) -> None:
        """Write the specification into the job's folder."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._folder / SPEC_FILE) as file:
                file.write(self._spec.model_dump_json(indent=2).encode() + b"\n")
        except OSError as error:
            raise _unusable(error) from error

    def _report(self, message: str, data: Data) -> None:
        log.info("job %s: %s", self._spec.id, message)
        try:
            append_event(self._folder, message, data)
        except OSError as error:
            log.warning("an event of job %s was not written: %s", self._spec.id, error.strerror)


def _failed(message: str, *, code: str = ServiceError.code) -> JobFailed:
    return JobFailed(Failure(code, message))


def _failed_by(child: Child, status: int) -> JobFailed:
    """The failure that the child reported, or else its exit status."""
    if (failure := child.failure()) is not None:
        return JobFailed(failure)
    return _failed(f"the fine-tuning ended with exit status {status}; its log is in the job's folder")


def _unusable(error: OSError) -> JobFailed:
    code = InsufficientStorage.code if error.errno in DISK_FULL_ERRNOS else ServiceError.code
    return _failed(f"the job's folder cannot be used: {error.strerror}", code=code)


def _signal(status: int) -> int | None:
    """The signal that ended a child, by itself or by the exit status that the child chose for it."""
    if status < 0:
        return -status
    return status - 128 if status - 128 in (signal.SIGTERM, signal.SIGINT) else None
