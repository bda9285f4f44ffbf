"""Deletes ended jobs once they are old."""

import asyncio
import logging

from contract.errors import ServiceError
from service.fine_tuning.queue import JobQueue

_HOUR = 3600.0

log = logging.getLogger(__name__)


class JobRetention:
    """Deletes the jobs that ended more than `days` ago, now and every hour; None keeps all."""

    def __init__(self, jobs: JobQueue, days: float | None) -> None:
        self._jobs = jobs
        self._days = days
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        if self._days is not None:
            self._task = asyncio.create_task(self._run(self._days))

    async def stop(self) -> None:
        """Leave what is old for the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, days: float) -> None:
        while True:
            try:
                await self._jobs.delete_older(days)
            except (ServiceError, OSError) as error:
                log.warning("old jobs were not deleted: %s", error)
            await asyncio.sleep(_HOUR)
