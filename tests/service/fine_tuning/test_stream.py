import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from time import monotonic

import pytest

from contract.errors import Overloaded
from contract.files import append_line
from contract.job_events import EVENTS_FILE, Unknown, append_event
from service.fine_tuning.job import JobRow
from service.fine_tuning.queries import JobQueries
from service.fine_tuning.queue import JobQueue
from service.fine_tuning.stream import Streams
from tests.service.jobs_at_work import job_spec, sqlite_jobs

JOB = job_spec(1).id


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[JobQueue]:
    opened = sqlite_jobs(tmp_path)
    await opened.submit(job_spec(1))
    opened.histories.folder(JOB).mkdir(parents=True)
    yield opened
    await opened.close()


@pytest.fixture
async def streams(queue: JobQueue) -> AsyncIterator[Streams]:
    opened = Streams(queue, lambda: False, limit=4)
    yield opened
    await opened.close()


def tell(queue: JobQueue, *messages: str) -> None:
    for message in messages:
        append_event(queue.histories.folder(JOB), message, Unknown())


async def read(streams: Streams, start: int = 0) -> list[str]:
    """The messages of a stream's events, and the status of each job in it, until it ends."""
    found: list[str] = []
    async with asyncio.timeout(20), aclosing(streams.follow(JOB, start)) as stream:
        async for piece in stream:
            for line in piece.decode().splitlines():
                if line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                    found.append(data.get("message") or data["status"])
    return found


async def test_streams_of_one_job_look_at_it_once_for_all(
    queue: JobQueue, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, pieces = 0, 0
    summaries, piece = JobQueries.summaries, queue.histories.piece

    def look(queries: JobQueries, ids: Sequence[str]) -> dict[str, JobRow]:
        nonlocal looks
        looks += 1
        return summaries(queries, ids)

    def count(job: str, start: int) -> object:
        nonlocal pieces
        pieces += 1
        return piece(job, start)

    monkeypatch.setattr(JobQueries, "summaries", look)
    monkeypatch.setattr(queue.histories, "piece", count)
    begun = monotonic()
    reading = [asyncio.create_task(read(streams)) for _ in range(200)]
    await asyncio.sleep(0.6)
    tell(queue, "one", "two")
    await asyncio.sleep(0.6)
    await queue.cancel(JOB)
    found = await asyncio.gather(*reading)
    seconds = monotonic() - begun
    assert found == [["queued", "one", "two", "The job was cancelled.", "cancelled"]] * 200
    assert looks <= seconds / 0.25 + 2
    assert pieces <= seconds / 0.25 + 2


async def test_a_stream_that_begins_far_back_has_every_event_once(queue: JobQueue, streams: Streams) -> None:
    told = [str(number) for number in range(1000)]
    tell(queue, *told[:500])
    other = asyncio.create_task(read(streams))
    await asyncio.sleep(0.6)
    reading = asyncio.create_task(read(streams))
    tell(queue, *told[500:900])
    await asyncio.sleep(0.3)
    append_line(queue.histories.folder(JOB) / EVENTS_FILE, b"not an event")
    tell(queue, *told[900:])
    last = asyncio.create_task(read(streams, queue.histories.end(JOB)))
    await asyncio.sleep(0.6)
    await queue.cancel(JOB)
    for found in (await reading, await other):
        assert [each for each in found if each.isdecimal()] == told
        assert found[-2:] == ["The job was cancelled.", "cancelled"]
    assert await last == ["queued", "The job was cancelled.", "cancelled"]


async def test_a_stream_that_nothing_happens_in_is_kept_alive_and_one_that_is_left_is_forgotten(
    queue: JobQueue, streams: Streams
) -> None:
    async with aclosing(streams.follow(JOB, 0, keep_alive=0.05)) as stream:
        found = [await asyncio.wait_for(anext(stream), 5) for _ in range(6)]
    assert found.count(b": keep-alive\n\n") >= 3
    async with asyncio.timeout(5):
        while not all(task.done() for task in streams._watcher._tasks.values()):
            await asyncio.sleep(0.02)


async def test_a_job_that_is_resumed_before_its_stream_ends_goes_on(queue: JobQueue, streams: Streams) -> None:
    reading = asyncio.create_task(read(streams))
    await asyncio.sleep(0.6)
    await queue.cancel(JOB)
    await queue.resume(JOB)
    await asyncio.sleep(1)
    assert not reading.done()
    await queue.cancel(JOB)
    assert (await reading)[-1] == "cancelled"


async def test_streams_have_places_and_one_client_has_half_of_them(streams: Streams) -> None:
    for client in ("a", "a", "b"):
        streams.enter(client)
    with pytest.raises(Overloaded):
        streams.enter("a")
    streams.enter("c")
    with pytest.raises(Overloaded):
        streams.enter("d")
    streams.leave("a")
    streams.enter("d")
