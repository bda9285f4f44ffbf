import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from service.fine_tuning.queue import JobQueue
from tests.service.jobs_at_work import job_spec, new_database, sqlite_jobs
from training.worker.claims import Claims
from training.worker.engine import JobsClient

WORKER = "one"


@pytest_asyncio.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[JobQueue]:
    opened = sqlite_jobs(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Claims:
    monkeypatch.setattr("training.worker.claims.WATCH_SECONDS", 0.05)
    monkeypatch.setattr("training.worker.claims.LOST_AFTER_SECONDS", 0.1)
    return Claims(JobsClient(new_database("sqlite", tmp_path)), WORKER)


async def claimed(jobs: JobQueue, tmp_path: Path, number: int = 1) -> str:
    """A job that the database has down as running on the worker."""
    identity = (await jobs.submit(job_spec(number))).spec.id
    claim = "UPDATE workflow_status SET status = 'PENDING', executor_id = ?, started_at_epoch_ms = ?"
    with closing(sqlite3.connect(tmp_path / "data" / "jobs.sqlite")) as connection, connection:
        arguments = (WORKER, int(time.time() * 1000), identity)
        connection.execute(f"{claim} WHERE workflow_uuid = ?", arguments)
    assert (await jobs.get(identity)).status == "running"
    return identity


async def test_a_claim_stands_until_the_job_is_cancelled(jobs: JobQueue, claims: Claims, tmp_path: Path) -> None:
    identity = await claimed(jobs, tmp_path)
    lost = asyncio.create_task(claims.until_lost(identity))
    await asyncio.sleep(0.5)
    assert not lost.done()
    await jobs.cancel(identity)
    await asyncio.wait_for(lost, 10)


async def test_a_job_of_another_worker_or_of_nobody_is_lost(jobs: JobQueue, claims: Claims, tmp_path: Path) -> None:
    identity = await claimed(jobs, tmp_path)
    other = Claims(JobsClient(new_database("sqlite", tmp_path)), "another")
    await asyncio.wait_for(other.until_lost(identity), 10)
    await asyncio.wait_for(claims.until_lost("ftjob-1"), 10)


async def test_a_worker_that_stops_gives_its_jobs_back_but_not_those_that_were_cancelled(
    jobs: JobQueue, claims: Claims, tmp_path: Path
) -> None:
    kept, cancelled = await claimed(jobs, tmp_path, 1), await claimed(jobs, tmp_path, 2)
    await jobs.cancel(cancelled)
    await asyncio.to_thread(Claims(JobsClient(new_database("sqlite", tmp_path)), "another").give_back)
    assert (await jobs.get(kept)).status == "running"
    await asyncio.to_thread(claims.give_back)
    assert (await jobs.get(kept)).status == "queued"
    assert (await jobs.get(cancelled)).status == "cancelled"


async def test_a_claimed_job_that_does_not_run_is_queued_again(jobs: JobQueue, claims: Claims, tmp_path: Path) -> None:
    orphan, running = await claimed(jobs, tmp_path, 1), await claimed(jobs, tmp_path, 2)
    stopping = threading.Event()
    watch = threading.Thread(target=claims.requeue_orphans, args=({running}, stopping))
    watch.start()
    try:
        async with asyncio.timeout(30):
            while (await jobs.get(orphan)).status != "queued":
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert (await jobs.get(running)).status == "running"
    finally:
        stopping.set()
        watch.join()
