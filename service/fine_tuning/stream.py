"""A job's events as they happen, as server-sent events.

There are two kinds of message: `fine_tuning.job.event`, each with its `id`; and `fine_tuning.job`, the whole job, sent
whenever its status or its place in the queue changes, and as the last message when it has ended.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic

from pydantic import BaseModel

from contract.errors import JobNotFound, JobsUnavailable
from service.fine_tuning.bodies import event_body, job_body
from service.fine_tuning.job import Job
from service.fine_tuning.queue import JobQueue

EVENTS_SECONDS = 0.25  # between two looks at the events
STATUS_SECONDS = 0.5  # between two looks at the job
KEEP_ALIVE_SECONDS = 15.0
RETRY_MS = 1000


async def follow(
    jobs: JobQueue, job: Job, start: int, is_stopping: Callable[[], bool], *, keep_alive: float = KEEP_ALIVE_SECONDS
) -> AsyncIterator[bytes]:
    """The messages of a job from byte `start` of its events on, until it has ended or the service shuts down.

    While the database does not answer, events continue and changes of the status wait.
    """
    identity = job.spec.id
    shown: tuple[object, ...] = ()
    looked = sent = monotonic()
    yield f"retry: {RETRY_MS}\n\n".encode()
    while not is_stopping():
        ended = job.has_ended
        if ended:  # the last events may still be on their way
            await asyncio.sleep(EVENTS_SECONDS)
        messages = []
        if jobs.histories.end(identity) != start:
            for name, start, event in await asyncio.to_thread(jobs.histories.events, identity, start):  # noqa: B020
                messages.append(_message("fine_tuning.job.event", event_body(identity, start, event), name))
        if ended or monotonic() - looked >= STATUS_SECONDS or not shown:
            job, looked = await _look(jobs, job), monotonic()
            if (job.status, job.queue_position) != shown and not job.has_ended:
                shown = (job.status, job.queue_position)
                messages.append(_message("fine_tuning.job", job_body(job)))
        if ended and job.has_ended:  # and was not resumed meanwhile
            messages.append(_message("fine_tuning.job", job_body(job)))
        if not messages and monotonic() - sent >= keep_alive:
            messages.append(b": keep-alive\n\n")
        if messages:
            yield b"".join(messages)
            sent = monotonic()
        if ended and job.has_ended:
            return
        await asyncio.sleep(EVENTS_SECONDS)


async def _look(jobs: JobQueue, job: Job) -> Job:
    try:
        return await jobs.get(job.spec.id)
    except (JobsUnavailable, JobNotFound):
        return job


def _message(kind: str, body: BaseModel, identity: str | None = None) -> bytes:
    head = f"id: {identity}\n" if identity is not None else ""
    return f"{head}event: {kind}\ndata: {body.model_dump_json()}\n\n".encode()
