"""A job's events as they happen, as server-sent events.

There are two kinds of message: `fine_tuning.job.event`, each with its `id`; and `fine_tuning.job`, the job as in lists,
sent whenever its status or its place in the queue changes, and as the last message when it has ended.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from time import monotonic

from contract.errors import Overloaded
from service.fine_tuning.queue import JobQueue
from service.fine_tuning.watcher import Watched, Watcher

KEEP_ALIVE_SECONDS = 15.0
RETRY_MS = 1000
CLIENT_SHARE = 0.5  # of all streams, for one client


class Streams:
    """The open streams, at most `limit` of them, of which one client has half. They end when `is_stopping`."""

    def __init__(self, jobs: JobQueue, is_stopping: Callable[[], bool], *, limit: int) -> None:
        self._is_stopping = is_stopping
        self._limit = limit
        self._open: Counter[str] = Counter()
        self._watcher = Watcher(jobs, is_stopping)

    def enter(self, client: str) -> None:
        """Take a place for a stream of `client`, which `leave` gives back; `Overloaded` where there is none."""
        if self._open.total() >= self._limit or self._open[client] >= max(1, self._limit * CLIENT_SHARE):
            raise Overloaded("too many streams of events are open; try again later")
        self._open[client] += 1

    def leave(self, client: str) -> None:
        """Give the place of a stream back."""
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]

    async def follow(self, job: str, start: int, *, keep_alive: float = KEEP_ALIVE_SECONDS) -> AsyncGenerator[bytes]:
        """The messages of a job from byte `start` of its events on, until it has ended or the service shuts down.

        While the database does not answer, events continue and changes of the status wait.
        """
        with self._watcher.watching(job) as watched:
            shown: tuple[object, ...] = ()
            sent = monotonic()
            yield f"retry: {RETRY_MS}\n\n".encode()
            while not self._is_stopping():
                changed, is_finished = watched.changed, watched.is_finished
                messages, start = await self._events(watched, start)
                has_all = watched.end is not None and start >= watched.end
                if has_all and (is_finished or (watched.place != shown and not watched.has_ended)):
                    shown = watched.place
                    messages.append(watched.message)
                if not messages and monotonic() - sent >= keep_alive:
                    messages.append(b": keep-alive\n\n")
                if messages:
                    yield b"".join(messages)
                    sent = monotonic()
                if has_all and is_finished:
                    return
                if has_all or watched.end is None:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), max(0.0, sent + keep_alive - monotonic()))

    async def close(self) -> None:
        """Look at no job any more."""
        await self._watcher.close()

    async def _events(self, watched: Watched, start: int) -> tuple[list[bytes], int]:
        """The messages of the next events from byte `start` on, and the byte behind them."""
        if watched.end is None or start >= watched.end:
            return [], start
        recent = watched.recent(start)
        if recent is not None:
            return recent, watched.end
        messages, end = await asyncio.to_thread(self._watcher.encode_piece, watched.id, start)
        return [message for _, message in messages], end if end > start else watched.end  # another file than before
