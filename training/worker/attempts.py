"""One job on a worker: attempts at it, each a child process, until one of them ends the job.

A child that was killed is started again, and goes on from the last whole epoch; a job whose child is killed again and
again without getting anywhere fails.
"""

import asyncio
import logging
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import DISK_FULL_ERRNOS
from contract.files import replacing
from contract.job_events import append_event
from contract.job_spec import BUSY, SPEC_FILE, JobSpec
from training.worker.child import Child, published

DEATHS_WITHOUT_PROGRESS = 3
BUSY_SECONDS = 1.0

log = logging.getLogger(__name__)


class JobFailed(Exception):
    """The job failed: why in words, one of the codes of `contract.errors`, and the field at fault."""

    def __init__(self, message: str, *, code: str = "internal_error", param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


class Attempts:
    """The attempts of a worker at a job, in the job's folder, with the settings that its children get."""

    def __init__(self, spec: JobSpec, folder: Path, environment: Mapping[str, str], grace_seconds: float) -> None:
        self._spec = spec
        self._folder = folder
        self._environment = environment
        self._grace_seconds = grace_seconds
        self._deaths = 0

    async def run(self, lost: asyncio.Future[Any], leaving: asyncio.Future[Any]) -> str | None:
        """The version that was published, as `name/version`; `JobFailed` for a job that has failed.

        None, with no child left, once the job is `lost`, so that its outcome is for somebody else to tell, or the
        worker is `leaving` before it has one.
        """
        self._prepare()
        while not (lost.done() or leaving.done()):
            try:
                child, status = await self._attempt(lost, leaving)
            except OSError as error:
                raise _unusable(error) from error
            if lost.done():
                log.info("job %s is no longer this worker's", self._spec.id)
            elif status == 0:
                return self._published()
            elif leaving.done():
                self._tell("stopped: the worker is leaving", {"kind": "stopped"})
            elif status == BUSY:  # the one before is still being stopped, by another worker
                await asyncio.wait({lost, leaving}, timeout=BUSY_SECONDS)
            elif number := _signal(status):
                self._count_death(child, number)
            else:
                raise _why(child, status)
        return None

    async def _attempt(self, *stops: asyncio.Future[Any]) -> tuple[Child, int]:
        """A child, stopped when one of `stops` is done, and its exit status."""
        child = await Child.start(self._folder, self._environment)
        log.info("job %s runs as process %d", self._spec.id, child.pid)
        ends: list[asyncio.Future[Any]] = [asyncio.create_task(child.wait()), *stops]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            status = await asyncio.shield(child.stop(self._grace_seconds))
        return child, status

    def _count_death(self, child: Child, number: int) -> None:
        self._tell(f"killed by {signal.Signals(number).name}", {"kind": "killed", "signal": number})
        self._deaths = 1 if child.made_progress() else self._deaths + 1
        if self._deaths > DEATHS_WITHOUT_PROGRESS:
            raise JobFailed(f"killed {self._deaths} times in a row without finishing an epoch", code="killed")

    def _prepare(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._folder / SPEC_FILE) as file:
                file.write(self._spec.model_dump_json(indent=2).encode() + b"\n")
        except OSError as error:
            raise _unusable(error) from error

    def _published(self) -> str:
        if (model := published(self._folder)) is None:
            raise JobFailed("the fine-tuning ended without a new version; its log is in the job's folder")
        return model

    def _tell(self, message: str, data: dict[str, Any]) -> None:
        log.info("job %s: %s", self._spec.id, message)
        try:
            append_event(self._folder, message, level="warn", data=data)
        except OSError as error:
            log.warning("an event of job %s was not written: %s", self._spec.id, error.strerror)


def _unusable(error: OSError) -> JobFailed:
    full = error.errno in DISK_FULL_ERRNOS
    code = "insufficient_storage" if full else "internal_error"
    return JobFailed(f"the job's folder cannot be used: {error.strerror}", code=code)


def _why(child: Child, status: int) -> JobFailed:
    event = child.why_failed()
    if event is None:
        return JobFailed(f"the fine-tuning ended with exit status {status}; its log is in the job's folder")
    return JobFailed(event.message, code=str(event.data.get("code") or "internal_error"), param=event.data.get("param"))


def _signal(status: int) -> int | None:
    """The signal that ended a child, or that it says has ended it."""
    if status < 0:
        return -status
    return status - 128 if status - 128 in (signal.SIGTERM, signal.SIGINT) else None
