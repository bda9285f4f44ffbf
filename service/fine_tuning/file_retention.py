"""Removing uploads when they are old, unless a job still needs them."""

import asyncio
import logging
import time
from contextlib import suppress

from contract.errors import FileNotFound
from service.fine_tuning.job import Status
from service.fine_tuning.queue import JobQueue
from service.uploads.storage import Uploads

_DAY_SECONDS = 24 * 60 * 60
_PAGE = 100
_OPEN: tuple[Status, ...] = ("queued", "running")

log = logging.getLogger(__name__)


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
    if removed:
        log.info("removed %d uploads of more than %g days", removed, days)
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
