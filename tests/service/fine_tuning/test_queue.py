import asyncio
import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from filelock import FileLock

from contract.errors import (
    IdempotencyConflict,
    InsufficientStorage,
    JobNotCancellable,
    JobNotDeletable,
    JobNotFound,
    JobNotResumable,
    Overloaded,
    ServiceError,
)
from contract.job_events import Cancelled, EpochDone, Progress, Published, Resumed, Started, append_event
from contract.job_spec import HEARTBEAT_FILE, LOCK_FILE
from service.fine_tuning.client import JobClient, dbos_priority
from service.fine_tuning.job import Job, Status
from service.fine_tuning.queries import JobQueries
from service.fine_tuning.queue import PAGE_BYTES, JobLimits, JobQueue
from tests.service.jobs_at_work import job_spec, sqlite_jobs, working


async def until(jobs: JobQueue, identity: str, status: Status, seconds: float = 120) -> Job:
    deadline = time.monotonic() + seconds
    while (job := await jobs.get(identity)).status != status:
        assert time.monotonic() < deadline, f"{job.status}, not {status}"
        await asyncio.sleep(0.05)
    return job


def taken_earlier(url: str, identity: str, seconds: int) -> None:
    """As if a worker had taken the job earlier."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    table = "workflow_status" if url.startswith("sqlite") else "dbos.workflow_status"
    query = f"UPDATE {table} SET started_at_epoch_ms = started_at_epoch_ms - :ms WHERE workflow_uuid = :id"
    with engine.begin() as connection:
        connection.execute(sa.text(query), {"id": identity, "ms": seconds * 1000})
    engine.dispose()


async def test_a_submitted_job_waits_with_all_that_was_asked(jobs: JobQueue) -> None:
    spec = job_spec(1, metadata={"who": "me"}, labels=("a", "b"), requested={"model": "tiny"})
    job = await jobs.submit(spec)
    assert job.spec == spec
    assert (job.status, job.queue_position) == ("queued", 1)
    assert abs(job.created_at - time.time()) < 60
    assert (job.started_at, job.finished_at, job.fine_tuned_model, job.error) == (None, None, None, None)
    assert await jobs.get(spec.id) == job


async def test_the_same_request_again_is_the_same_job_and_another_is_a_conflict(jobs: JobQueue) -> None:
    first = await jobs.submit(job_spec(1, request_sha256="a", seed=1))
    assert await jobs.submit(job_spec(1, request_sha256="a", seed=2)) == first
    with pytest.raises(IdempotencyConflict):
        await jobs.submit(job_spec(1, request_sha256="b"))
    assert (await jobs.counts() or {})["queued"] == 1


async def test_many_at_once_are_all_there_and_one_of_each(jobs: JobQueue) -> None:
    await asyncio.gather(*(jobs.submit(job_spec(number % 5)) for number in range(20)))
    found, more = await jobs.page(limit=20)
    assert (len(found), more) == (5, False)


async def test_the_queue_is_by_priority_then_age_and_workers_take_it_so(
    jobs: JobQueue, url: str, tmp_path: Path
) -> None:
    for number, priority in enumerate([0, -100, 100, 0, 7]):
        await jobs.submit(job_spec(number, priority=priority))
    ids = [job_spec(number).id for number in (2, 4, 0, 3, 1)]
    assert [(await jobs.get(identity)).queue_position for identity in ids] == [1, 2, 3, 4, 5]
    with working(url, tmp_path) as worker:
        await until(jobs, ids[-1], "succeeded")
    assert worker.taken == ids


async def test_priorities_are_those_that_the_engine_takes() -> None:
    assert [dbos_priority(each) for each in (100, 0, -100)] == [1, 101, 201]


async def test_pages_hold_every_job_once_newest_first(jobs: JobQueue) -> None:
    made = [(await jobs.submit(job_spec(number))).spec.id for number in (5, 3, 9, 1, 7)]
    seen: list[str] = []
    after, more = None, True
    while more:
        page, more = await jobs.page(limit=2, after=after)
        seen += [job.spec.id for job in page]
        after = seen[-1]
        await jobs.submit(job_spec(100 + len(seen)))  # what comes meanwhile moves nothing
    assert seen == made[::-1]
    page, more = await jobs.page(limit=3, oldest_first=True)
    assert ([job.spec.id for job in page], more) == (made[:3], True)
    page, _ = await jobs.page(limit=3, oldest_first=True, after=made[2])
    assert [job.spec.id for job in page][:2] == made[3:]


async def test_jobs_are_listed_by_status_and_by_metadata(jobs: JobQueue) -> None:
    for number in range(120):
        await jobs.submit(job_spec(number, metadata={"team": "red", "n": str(number)} if number % 40 == 0 else {}))
    await jobs.cancel(job_spec(40).id)

    async def numbers(**wanted: object) -> list[int]:
        page, _ = await jobs.page(limit=100, **wanted)  # type: ignore[arg-type]
        return [int(job.spec.id[6:], 16) for job in page]

    assert await numbers(status="cancelled") == [40]
    assert await numbers(metadata={"team": "red"}) == [80, 40, 0]
    assert await numbers(metadata={"team": "red"}, status="queued") == [80, 0]
    assert await numbers(metadata={"team": "red", "n": "80"}) == [80]
    assert await numbers(metadata={"team": "blue"}) == []
    assert 0 not in await numbers(metadata={})
    assert len(await numbers(metadata={})) == 100


async def test_a_page_of_large_jobs_ends_early_and_the_next_one_goes_on(jobs: JobQueue) -> None:
    large = {str(number): "\N{GRINNING FACE}" * 512 for number in range(16)}
    for number in range(40):
        await jobs.submit(job_spec(number, metadata=large, labels=tuple(map(str, range(1000)))))
    seen: list[str] = []
    more, pages = True, 0
    while more:
        page, more = await jobs.page(limit=100, after=seen[-1] if seen else None)
        assert sum(len(job.spec.model_dump_json().encode()) for job in page) < PAGE_BYTES
        assert {job.label_count for job in page} == {1000}
        seen += [job.spec.id for job in page]
        pages += 1
    assert seen == [job_spec(number).id for number in reversed(range(40))]
    assert pages > 1
    assert len((await jobs.get(seen[0])).spec.labels or ()) == 1000


async def test_six_conditions_on_two_thousand_jobs_take_a_moment(jobs: JobQueue) -> None:
    wanted = {f"name {number}": f"value {number}" for number in range(6)}
    await jobs.submit(job_spec(0, metadata=wanted | {"more": "of it"}))
    others = [job_spec(number, metadata=wanted | {"name 5": "another"}) for number in range(1, 2000)]

    def submit_all(client: JobClient) -> None:
        for spec in others:
            client.enqueue(spec)

    client = await asyncio.to_thread(JobClient, jobs._database._url, jobs._database._engine)
    await asyncio.to_thread(submit_all, client)
    begun = time.monotonic()
    for _ in range(5):
        page, more = await jobs.page(limit=20, metadata=wanted)
        assert ([job.spec.id for job in page], more) == ([job_spec(0).id], False)
    assert time.monotonic() - begun < 2.5
    client.close()


async def test_places_are_asked_for_once_by_all_jobs_of_a_moment(
    jobs: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    places = JobQueries.places

    def counted(queries: JobQueries) -> dict[str, int]:
        nonlocal asked
        asked += 1
        return places(queries)

    monkeypatch.setattr(JobQueries, "places", counted)
    monkeypatch.setattr("service.fine_tuning.places.FRESH_SECONDS", 60.0)
    for number in range(3):
        await jobs.submit(job_spec(number))
    before = asked
    for _ in range(10):
        assert [job.queue_position for job in (await jobs.page(limit=10))[0]] == [3, 2, 1]
    assert asked == before
    await jobs.cancel(job_spec(0).id)
    assert (await jobs.get(job_spec(2).id)).queue_position == 2


async def test_an_ended_job_is_deleted_with_its_folder_and_no_other_is(
    jobs: JobQueue, url: str, tmp_path: Path
) -> None:
    queued, ended = [(await jobs.submit(job_spec(number))).spec.id for number in (1, 2)]
    await jobs.cancel(ended)
    folder = jobs.histories.folder(ended)
    with pytest.raises(JobNotDeletable):
        await jobs.delete(queued)
    with FileLock(folder / LOCK_FILE), pytest.raises(JobNotDeletable):
        await asyncio.to_thread(asyncio.run, _delete(url, tmp_path, ended))
    assert (await jobs.get(ended)).status == "cancelled"
    assert folder.is_dir()
    await jobs.delete(ended)
    assert not folder.exists()
    assert await jobs.find(ended) is None
    for call in (jobs.delete(ended), jobs.resume(ended)):
        with pytest.raises(JobNotFound):
            await call
    assert (await jobs.submit(job_spec(2))).status == "queued"
    assert (await jobs.get(queued)).queue_position == 1


async def _delete(url: str, tmp_path: Path, identity: str) -> None:
    other = JobQueue(url, tmp_path / "data" / "jobs")
    try:
        await other.delete(identity)
    finally:
        await other.close()


async def test_old_jobs_are_deleted_and_others_are_kept(jobs: JobQueue, url: str) -> None:
    old, recent, waiting = [(await jobs.submit(job_spec(number))).spec.id for number in range(3)]
    for identity in (old, recent):
        await jobs.cancel(identity)
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    table = "workflow_status" if url.startswith("sqlite") else "dbos.workflow_status"
    query = f"UPDATE {table} SET completed_at = completed_at - 3 * 24 * 3600 * 1000 WHERE workflow_uuid = :id"
    with engine.begin() as connection:
        connection.execute(sa.text(query), {"id": old})
    engine.dispose()
    aside = jobs.histories.root / ".deleted-ftjob-1"
    aside.mkdir()
    await jobs.delete_older(4)
    assert await jobs.find(old) is not None
    assert not aside.exists()
    await jobs.delete_older(2)
    assert await jobs.find(old) is None
    assert not jobs.histories.folder(old).exists()
    assert {job.spec.id for job in (await jobs.page(limit=9))[0]} == {recent, waiting}


async def test_too_many_jobs_are_refused_and_those_that_are_there_are_not(url: str, tmp_path: Path) -> None:
    jobs = JobQueue(url, tmp_path / "jobs", JobLimits(queued=2, kept=3))
    first, second = [(await jobs.submit(job_spec(number))).spec.id for number in (1, 2)]
    with pytest.raises(Overloaded):
        await jobs.submit(job_spec(3))
    assert (await jobs.submit(job_spec(1))).spec.id == first
    await jobs.cancel(first)
    await jobs.submit(job_spec(3))
    with pytest.raises(Overloaded):
        await jobs.resume(first)
    await jobs.cancel(second)
    with pytest.raises(InsufficientStorage):
        await jobs.submit(job_spec(4))
    assert (await jobs.resume(first)).status == "queued"
    await jobs.delete(second)
    await jobs.cancel(first)
    assert (await jobs.submit(job_spec(4))).status == "queued"
    await jobs.close()


async def test_the_folder_of_a_job_is_always_in_the_folder_of_jobs(jobs: JobQueue) -> None:
    for identity in ("..", "../..", "/etc", ".", "a/../../b", ""):
        folder = jobs.histories.folder(identity).resolve()
        assert folder == jobs.histories.root.resolve() or folder.parent == jobs.histories.root.resolve()


async def test_an_unknown_job_is_not_found(jobs: JobQueue) -> None:
    for call in (jobs.get("ftjob-1"), jobs.cancel("ftjob-1"), jobs.resume("\0"), jobs.page(limit=1, after="\0")):
        with pytest.raises(JobNotFound):
            await call
    assert await jobs.find("ftjob-1") is None
    assert await jobs.find("\0") is None


async def test_a_queued_job_is_cancelled_and_resumed_again_and_again(jobs: JobQueue, url: str, tmp_path: Path) -> None:
    identity = (await jobs.submit(job_spec(1))).spec.id
    for _ in range(10):
        job = await jobs.cancel(identity)
        assert (job.status, job.queue_position) == ("cancelled", None)
        assert job.finished_at is not None
        with pytest.raises(JobNotCancellable):
            await jobs.cancel(identity)
        job = await jobs.resume(identity)
        assert (job.status, job.queue_position, job.finished_at) == ("queued", 1, None)
        with pytest.raises(JobNotResumable):
            await jobs.resume(identity)
    assert [event.data for _, event in jobs.histories.piece(identity, 0)[0]] == [Cancelled(), Resumed()] * 10
    with working(url, tmp_path) as worker:
        job = await until(jobs, identity, "succeeded")
    assert worker.taken == [identity]
    assert (job.fine_tuned_model, job.error) == ("tiny/2", None)
    for refused, error in ((jobs.cancel, JobNotCancellable), (jobs.resume, JobNotResumable)):
        with pytest.raises(error):
            await refused(identity)


async def test_a_running_job_is_cancelled_and_taken_up_again(jobs: JobQueue, url: str, tmp_path: Path) -> None:
    identity = (await jobs.submit(job_spec(1, metadata={"do": "hang"}))).spec.id
    with working(url, tmp_path) as worker:
        running = await until(jobs, identity, "running")
        assert running.started_at is not None
        with pytest.raises(JobNotResumable):
            await jobs.resume(identity)
        assert (await jobs.cancel(identity)).status == "cancelled"
        await jobs.resume(identity)
        await jobs.submit(job_spec(2))
        assert (await jobs.get(identity)).status in ("queued", "running")
    assert worker.taken[0] == identity


async def test_a_failed_job_says_why_and_can_be_resumed(jobs: JobQueue, url: str, tmp_path: Path) -> None:
    failing = (await jobs.submit(job_spec(1, metadata={"do": "fail"}))).spec.id
    crashing = (await jobs.submit(job_spec(2, metadata={"do": "crash"}))).spec.id
    with working(url, tmp_path):
        failed = await until(jobs, failing, "failed")
        crashed = await until(jobs, crashing, "failed")
        assert failed.error is not None
        assert (failed.error.code, failed.error.message, failed.error.param) == ("diverged", "it diverged", "seed")
        assert failed.finished_at is not None
        assert crashed.error is not None
        assert crashed.error.code == "internal_error"
        assert "secret" not in crashed.error.message
        with pytest.raises(JobNotCancellable):
            await jobs.cancel(failing)
        for identity in (failing, crashing):
            assert (await jobs.resume(identity)).error is None
            assert (await until(jobs, identity, "succeeded")).error is None


async def test_a_job_whose_worker_is_not_heard_of_any_more_can_be_resumed(
    jobs: JobQueue, url: str, tmp_path: Path
) -> None:
    identity = (await jobs.submit(job_spec(1, metadata={"do": "hang"}))).spec.id
    with working(url, tmp_path) as worker:
        await until(jobs, identity, "running")
        while worker.taken != [identity]:
            await asyncio.sleep(0.05)
    folder = jobs.histories.folder(identity)
    folder.mkdir(parents=True, exist_ok=True)
    heartbeat = folder / HEARTBEAT_FILE
    heartbeat.write_text("{}")
    with pytest.raises(JobNotResumable):
        await jobs.resume(identity)
    os.utime(heartbeat, (0, 0))
    for seconds in (0, 10):
        taken_earlier(url, identity, seconds)
        with pytest.raises(JobNotResumable):  # it was taken a moment ago
            await jobs.resume(identity)
    heartbeat.write_text("{}")
    taken_earlier(url, identity, 3600)
    with pytest.raises(JobNotResumable):  # its worker is alive
        await jobs.resume(identity)
    os.utime(heartbeat, (0, 0))
    assert (await jobs.resume(identity)).status == "queued"
    with working(url, tmp_path):
        await until(jobs, identity, "succeeded")


async def test_the_counts_are_of_every_status(jobs: JobQueue, url: str, tmp_path: Path) -> None:
    for number, do in enumerate(["", "fail", "hang", ""]):
        await jobs.submit(job_spec(number, priority=-number, metadata={"do": do}))
    await jobs.cancel(job_spec(3).id)
    with working(url, tmp_path):
        await until(jobs, job_spec(2).id, "running")
        await jobs.submit(job_spec(9))
        assert await jobs.counts() == {"queued": 1, "running": 1, "succeeded": 1, "failed": 1, "cancelled": 1}
        assert await jobs.counts() == {"queued": 1, "running": 1, "succeeded": 1, "failed": 1, "cancelled": 1}


async def test_what_the_events_say_is_part_of_the_job(jobs: JobQueue) -> None:
    identity = (await jobs.submit(job_spec(1))).spec.id
    folder = jobs.histories.folder(identity)
    folder.mkdir(parents=True)
    append_event(folder, "attempt 1", Started(attempt=1))
    done = EpochDone(
        epoch=1,
        epochs=3,
        step=10,
        steps=30,
        attempt=1,
        loss=0.5,
        accuracy=0.75,
        spikes_per_sample=2.0,
        baseline_accuracy=None,
    )
    append_event(folder, "epoch", done)
    history = (await jobs.get(identity)).history
    assert (history.attempt, history.epoch, history.step, history.steps) == (1, 1, 10, 30)
    assert history.metrics == {"loss": 0.5, "accuracy": 0.75, "spikes_per_sample": 2.0}
    assert history.published is None
    append_event(folder, "attempt 2", Started(attempt=2))
    append_event(folder, "step", Progress(attempt=2, epochs=3, step=15, steps=30, epoch=1, loss=9.0))
    append_event(folder, "published", Published(attempt=2, model="tiny/2"))
    job = await jobs.cancel(identity)
    assert (job.history.attempt, job.history.step, job.history.metrics["loss"]) == (2, 15, 0.5)
    assert job.history.started_at == history.started_at
    assert job.fine_tuned_model == "tiny/2"


async def test_a_row_that_is_no_job_is_passed_over(tmp_path: Path) -> None:
    jobs = sqlite_jobs(tmp_path)
    for number in range(3):
        await jobs.submit(job_spec(number))
    with closing(sqlite3.connect(tmp_path / "data" / "jobs.sqlite")) as connection, connection:
        broken = json.dumps({"positionalArgs": [{"id": "x"}], "namedArgs": {}})
        connection.execute("UPDATE workflow_input SET inputs = ? WHERE workflow_uuid = ?", (broken, job_spec(1).id))
        connection.execute("UPDATE workflow_status SET attributes = NULL WHERE workflow_uuid = ?", (job_spec(1).id,))
    page, more = await jobs.page(limit=2)
    assert ([job.spec.id for job in page], more) == ([job_spec(2).id, job_spec(0).id], False)
    with pytest.raises(ServiceError):
        await jobs.get(job_spec(1).id)
    await jobs.close()
