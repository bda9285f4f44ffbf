"""Removing what is old, at the start and then once an hour."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from contract.errors import ServiceError

_INTERVAL_SECONDS = 60 * 60

log = logging.getLogger(__name__)


class Retention:
    """Calls `remove` with `days`, between `start` and `stop`; None keeps everything. `what` is its name in the log."""

    def __init__(self, what: str, remove: Callable[[float], Awaitable[object]], days: float | None) -> None:
        self._what = what
        self._remove = remove
        self._days = days
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to remove what is old."""
        if self._days is not None:
            self._task = asyncio.create_task(self._repeat(self._days))

    async def stop(self) -> None:
        """Remove no more; what is old is left for the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _repeat(self, days: float) -> None:
        while True:
            try:
                await self._remove(days)
            except (ServiceError, OSError) as error:
                log.warning("old %s were not removed: %s", self._what, error)
            await asyncio.sleep(_INTERVAL_SECONDS)
