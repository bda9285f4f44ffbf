"""The jobs database as the event loop uses it: opened on first use, every call bounded in time, faults logged once."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from contract.errors import DISK_FULL_ERRNOS, InsufficientStorage, JobsUnavailable, ServiceError
from service.fine_tuning.client import CLIENT_ERRORS, JobClient
from service.fine_tuning.connection import CONNECTIONS, make_engine, sqlite_file
from service.fine_tuning.queries import no_jobs

T = TypeVar("T")

_CALL_SECONDS = 3.0
_COUNTS_SECONDS = 3.0
_COUNTS_WAIT_SECONDS = 0.2

log = logging.getLogger(__name__)


class JobDatabase:
    """The database at `url`. A service whose database cannot be reached answers everything else.

    `call` raises `JobsUnavailable` within seconds where the database cannot be reached or is locked, and
    `InsufficientStorage` where its disk is full.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine = make_engine(url)
        self._client: JobClient | None = None
        self._opening: asyncio.Task[JobClient] | None = None
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="jobs")
        self._fault: str | None = None
        self._counts: tuple[float, Mapping[str, int]] | None = None
        self._counting: asyncio.Task[None] | None = None

    async def call(self, work: Callable[[JobClient], T]) -> T:
        """Run `work` with the client, on a thread."""
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                client = self._client or await self._open()
                return await self._on_thread(lambda: work(client))
        except TimeoutError:
            raise self._unavailable("it took too long") from None

    async def counts(self) -> Mapping[str, int] | None:
        """How many jobs have each status, a few seconds old at most; None while the database does not answer."""
        if self._counts is None or time.monotonic() - self._counts[0] > _COUNTS_SECONDS:
            if self._counting is None or self._counting.done():
                self._counting = asyncio.create_task(self._count())
            await asyncio.wait([self._counting], timeout=_COUNTS_WAIT_SECONDS)
        return self._counts[1] if self._counts is not None else None

    async def close(self) -> None:
        """Release the database, without waiting for statements that still wait for it."""
        tasks = [task for task in (self._opening, self._counting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()
        self._engine.dispose()

    async def _count(self) -> None:
        file = sqlite_file(self._url)
        try:
            if file is None or file.exists():  # counting alone creates no database
                counts = await self.call(lambda client: client.queries.counts())
            else:
                counts = no_jobs()
            self._counts = (time.monotonic(), counts)
        except ServiceError:
            self._counts = None

    async def _open(self) -> JobClient:
        """The client, opened once for all callers that wait for it."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._on_thread(lambda: JobClient(self._url, self._engine)))
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._client = await asyncio.shield(self._opening)
        return self._client

    async def _on_thread(self, work: Callable[[], T]) -> T:
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except CLIENT_ERRORS as error:
            if _is_disk_full(error):
                raise InsufficientStorage("the disk is full") from error
            raise self._unavailable(str(error)) from error
        self._fault = None
        return result

    def _unavailable(self, reason: str) -> JobsUnavailable:
        """The error for the caller; the reason is logged, once for as long as it stays the same."""
        first = reason.splitlines()[0] if reason else "no reason given"
        if first != self._fault:
            log.error("the jobs database does not answer: %s", first)
        self._fault = first
        return JobsUnavailable("the jobs database does not answer; try again")


def _is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in DISK_FULL_ERRNOS
    text = str(error)
    return "database or disk is full" in text or "No space left on device" in text
