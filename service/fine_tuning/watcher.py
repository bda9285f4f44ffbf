"""Looks at the jobs that streams follow: once for all streams, at all jobs together."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from contract.errors import ServiceError
from service.fine_tuning.bodies import event_body, job_body
from service.fine_tuning.history import event_id
from service.fine_tuning.job import Job
from service.fine_tuning.queue import JobQueue

EVENTS_SECONDS = 0.25  # between two looks at the events
STATUS_SECONDS = 0.5  # between two looks at the jobs
_REMEMBERED = 200  # messages of each job

Look = Callable[[], Coroutine[Any, Any, float]]
"""Looks once, and returns the seconds until the next time."""

log = logging.getLogger(__name__)


class Watched:
    """A job and the messages for its streams. `changed` is set, and replaced, whenever there is something new.

    `end` is the byte behind the last event, None before the first look; `message` shows the job, and `place` is what
    makes it worth a new message. `is_finished` once the job has ended and no event of it is on its way.
    """

    def __init__(self, job: str) -> None:
        self.id = job
        self.streams = 0
        self.changed = asyncio.Event()
        self.end: int | None = None
        self.place: tuple[object, ...] = ()
        self.message = b""
        self.has_ended = False
        self.is_finished = False
        self._events: deque[tuple[int, bytes]] = deque()
        self._events_from = 0
        self._looks = 0
        self._ended_at_look: int | None = None

    def recent(self, start: int) -> list[bytes] | None:
        """The messages of the events from byte `start` on; None if they go further back than is remembered."""
        if self.end is None or start < self._events_from:
            return None
        return [message for end, message in self._events if end > start]

    def add(self, messages: list[tuple[int, bytes]], end: int) -> None:
        """Remember new events, each with its end; the last look went as far as byte `end`."""
        self._looks += 1
        if self.end is None:
            self._events_from = end
        is_new = end != self.end
        self.end = end
        for message in messages:
            self._events.append(message)
        while len(self._events) > _REMEMBERED:
            self._events_from = self._events.popleft()[0]
        if is_new:
            self.wake()

    def show(self, job: Job | None) -> None:
        """Take the job as it is now; None for a job that has been deleted."""
        self.has_ended = job is None or job.has_ended
        if job is not None:
            place = (job.status, job.queue_position)
            is_new = place != self.place
            if is_new or self.has_ended:
                self.place, self.message = place, encode("fine_tuning.job", job_body(job))
            if is_new:
                self.wake()
        if not self.has_ended:
            self._ended_at_look = None
        elif self._ended_at_look is None:
            self._ended_at_look = self._looks
        elif self._looks >= self._ended_at_look + 2 and not self.is_finished:  # one whole look later
            self.is_finished = True
            self.wake()

    def wake(self) -> None:
        """Let the streams look."""
        self.changed.set()
        self.changed = asyncio.Event()


class Watcher:
    """Watches each job that has a stream, for all its streams; `is_stopping` wakes them all."""

    def __init__(self, jobs: JobQueue, is_stopping: Callable[[], bool]) -> None:
        self._jobs = jobs
        self._is_stopping = is_stopping
        self._watched: dict[str, Watched] = {}
        self._tasks: dict[Look, asyncio.Task[None]] = {}

    @contextmanager
    def watching(self, job: str) -> Iterator[Watched]:
        """Watch a job as long as the block runs."""
        watched = self._watched.setdefault(job, Watched(job))
        watched.streams += 1
        for look in (self._look_at_events, self._look_at_jobs):
            if look not in self._tasks or self._tasks[look].done():  # each ends by itself once there is no stream
                self._tasks[look] = asyncio.create_task(self._repeat(look))
        try:
            yield watched
        finally:
            watched.streams -= 1
            if not watched.streams:
                del self._watched[job]

    def encode_piece(self, job: str, start: int) -> tuple[list[tuple[int, bytes]], int]:
        """The messages of a bounded number of events from byte `start` on, each with its end; and the byte behind.

        Blocks on the disk.
        """
        events, end = self._jobs.histories.piece(job, start)
        kind = "fine_tuning.job.event"
        return [(at, encode(kind, event_body(job, at, event), event_id(job, at))) for at, event in events], end

    async def close(self) -> None:
        """Look no more."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _repeat(self, look: Look) -> None:
        while self._watched:
            try:
                seconds = await look()
            except Exception:
                log.exception("the jobs that streams follow could not be read")
                seconds = STATUS_SECONDS
            await asyncio.sleep(seconds)

    async def _look_at_events(self) -> float:
        watched = dict(self._watched)
        read = await asyncio.to_thread(self._read_events, {job: each.end for job, each in watched.items()})
        for job, (messages, end) in read.items():
            watched[job].add(messages, end)
        if self._is_stopping():
            for each in watched.values():
                each.wake()
        return EVENTS_SECONDS

    def _read_events(self, ends: dict[str, int | None]) -> dict[str, tuple[list[tuple[int, bytes]], int]]:
        histories = self._jobs.histories
        return {
            job: ([], histories.end(job)) if end is None else self.encode_piece(job, end) for job, end in ends.items()
        }

    async def _look_at_jobs(self) -> float:
        watched = dict(self._watched)
        try:
            jobs = await self._jobs.find_all(list(watched))
        except ServiceError:  # the database does not answer, which is logged
            return STATUS_SECONDS
        for job, each in watched.items():
            each.show(jobs.get(job))
        return EVENTS_SECONDS if any(each.has_ended for each in watched.values()) else STATUS_SECONDS


def encode(kind: str, body: BaseModel, identity: str | None = None) -> bytes:
    """A server-sent event."""
    head = f"id: {identity}\n" if identity is not None else ""
    return f"{head}event: {kind}\ndata: {body.model_dump_json()}\n\n".encode()
