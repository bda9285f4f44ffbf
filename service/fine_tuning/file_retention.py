"""Removing uploads when they are old, unless a job still needs them."""

import asyncio
import logging
import time
from contextlib import suppress

from contract.errors import FileNotFound, ServiceError
from service.fine_tuning.job import Status
from service.fine_tuning.queue import JobQueue
from service.uploads.storage import Uploads

_DAY_SECONDS = 24 * 60 * 60
_INTERVAL_SECONDS = 60 * 60
_PAGE = 100
_OPEN: tuple[Status, ...] = ("queued", "running")

log = logging.getLogger(__name__)


class FileRetention:
    """Removes uploads that are more than `days` old, at the start and then once an hour; None keeps all of them."""

    def __init__(self, uploads: Uploads, jobs: JobQueue, days: float | None) -> None:
        self._uploads = uploads
        self._jobs = jobs
        self._days = days
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to remove old uploads."""
        if self._days is not None:
            self._task = asyncio.create_task(self._repeat(self._days))

    async def stop(self) -> None:
        """Remove no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _repeat(self, days: float) -> None:
        while True:
            try:
                removed = await remove_old_files(self._uploads, self._jobs, days)
            except ServiceError as error:
                log.warning("old uploads were not removed: %s", error.message)
            else:
                if removed:
                    log.info("removed %d uploads of more than %g days", removed, days)
            await asyncio.sleep(_INTERVAL_SECONDS)


async def remove_old_files(uploads: Uploads, jobs: JobQueue, days: float) -> int:
    """Remove the uploads that are more than `days` old and that no queued or running job uses, and count them.

    Raises `JobsUnavailable` if the database cannot say which are used, and the errors of `Uploads.delete`.
    """
    limit = time.time() - days * _DAY_SECONDS
    old = {upload.id for upload in await asyncio.to_thread(uploads.all) if upload.created_at < limit}
    removed = 0
    for identity in old - await _used(jobs) if old else ():
        with suppress(FileNotFound):  # somebody else has removed it
            await asyncio.to_thread(uploads.delete, identity)
            removed += 1
    return removed


async def _used(jobs: JobQueue) -> set[str]:
    """The files of queued and running jobs."""
    used: set[str] = set()
    for status in _OPEN:
        after, has_more = None, True
        while has_more:
            page, has_more = await jobs.page(limit=_PAGE, after=after, status=status)
            for job in page:
                used |= {file.id for file in (job.spec.training_file, job.spec.validation_file) if file is not None}
                after = job.spec.id
    return used
