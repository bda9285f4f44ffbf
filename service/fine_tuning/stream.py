"""A job's events while they happen, as server-sent events.

Two kinds of message: `fine_tuning.job.event`, each with its `id`, and `fine_tuning.job`, the whole job, whenever its
status or its place in the queue has changed, and last of all when it has ended.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic

from pydantic import BaseModel

from contract.errors import JobNotFound, JobsUnavailable
from service.fine_tuning.bodies import event_body, job_body
from service.fine_tuning.job import Job
from service.fine_tuning.queue import JobQueue

LOOK_SECONDS = 0.25  # at the events
ASK_SECONDS = 0.5  # for the status
KEEP_ALIVE_SECONDS = 15.0
RETRY_MS = 1000


async def follow(
    jobs: JobQueue, job: Job, start: int, is_leaving: Callable[[], bool], *, keep_alive: float = KEEP_ALIVE_SECONDS
) -> AsyncIterator[bytes]:
    """The messages of a job from byte `start` of its events on, until it has ended or the service leaves.

    A database that does not answer for a while holds up nothing but changes of the status.
    """
    identity = job.spec.id
    shown: tuple[object, ...] = ()
    asked = spoke = monotonic()
    yield f"retry: {RETRY_MS}\n\n".encode()
    while not is_leaving():
        ended = job.has_ended
        if ended:  # what was told at the very end may still be on its way
            await asyncio.sleep(LOOK_SECONDS)
        messages = []
        if jobs.histories.end(identity) != start:
            for name, start, event in await asyncio.to_thread(jobs.histories.events, identity, start):  # noqa: B020
                messages.append(_message("fine_tuning.job.event", event_body(identity, start, event), name))
        if ended or monotonic() - asked >= ASK_SECONDS or not shown:
            job, asked = await _ask(jobs, job), monotonic()
            if (job.status, job.queue_position) != shown and not job.has_ended:
                shown = (job.status, job.queue_position)
                messages.append(_message("fine_tuning.job", job_body(job)))
        if ended and job.has_ended:  # and was not resumed meanwhile
            messages.append(_message("fine_tuning.job", job_body(job)))
        if not messages and monotonic() - spoke >= keep_alive:
            messages.append(b": keep-alive\n\n")
        if messages:
            yield b"".join(messages)
            spoke = monotonic()
        if ended and job.has_ended:
            return
        await asyncio.sleep(LOOK_SECONDS)


async def _ask(jobs: JobQueue, job: Job) -> Job:
    try:
        return await jobs.get(job.spec.id)
    except (JobsUnavailable, JobNotFound):
        return job


def _message(kind: str, body: BaseModel, identity: str | None = None) -> bytes:
    head = f"id: {identity}\n" if identity is not None else ""
    return f"{head}event: {kind}\ndata: {body.model_dump_json()}\n\n".encode()
