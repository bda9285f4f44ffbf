import asyncio
import logging
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from contract.errors import JobsUnavailable
from service.fine_tuning.client import JobClient
from service.fine_tuning.queue import JobQueue
from tests.service.jobs_at_work import job_spec, sqlite_jobs


async def test_the_database_is_made_when_it_is_first_needed(tmp_path: Path) -> None:
    jobs = sqlite_jobs(tmp_path)
    assert await jobs.counts() == dict.fromkeys(["queued", "running", "succeeded", "failed", "cancelled"], 0)
    assert not (tmp_path / "data").exists()
    await jobs.submit(job_spec(1))
    await jobs.close()
    with closing(sqlite3.connect(tmp_path / "data" / "jobs.sqlite")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    again = sqlite_jobs(tmp_path)
    assert (await again.get(job_spec(1).id)).status == "queued"
    await again.close()


async def test_services_may_make_the_database_at_the_same_time(url: str, tmp_path: Path) -> None:
    opened = [JobQueue(url, tmp_path / "jobs") for _ in range(4)]

    async def submit(number: int, jobs: JobQueue) -> None:
        while True:
            try:
                await jobs.submit(job_spec(number))
            except JobsUnavailable:  # on Postgres they take turns, second by second
                continue
            return

    async with asyncio.timeout(30):
        await asyncio.gather(*(submit(number, jobs) for number, jobs in enumerate(opened)))
    assert len((await opened[0].page(limit=10))[0]) == 4
    for jobs in opened:
        await jobs.close()


async def test_a_locked_database_fails_soon_and_works_again_once_it_is_free(tmp_path: Path) -> None:
    jobs = sqlite_jobs(tmp_path)
    await jobs.submit(job_spec(1))
    with closing(sqlite3.connect(tmp_path / "data" / "jobs.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        for call in (jobs.submit(job_spec(2)), jobs.cancel(job_spec(1).id)):
            with pytest.raises(JobsUnavailable):
                await call
        fresh = sqlite_jobs(tmp_path)
        with pytest.raises(JobsUnavailable):
            await fresh.get(job_spec(1).id)
        assert time.monotonic() - started < 10
        assert (await jobs.get(job_spec(1).id)).status == "queued"  # readers do not wait for writers
    for each in (fresh, jobs):
        assert (await each.submit(job_spec(2))).status == "queued"
        await each.close()


async def test_a_statement_that_takes_too_long_is_interrupted_and_holds_no_thread(
    jobs: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    monkeypatch.setattr("service.fine_tuning.connection.TIMEOUT_SECONDS", 0.2)
    begun = time.monotonic()

    def run(_: JobClient) -> None:
        with jobs._database._engine.connect() as connection:
            connection.execute(sa.text(endless))

    calls = [jobs._database.call(run) for _ in range(8)]
    assert {type(each) for each in await asyncio.gather(*calls, return_exceptions=True)} == {JobsUnavailable}
    assert (await jobs.submit(job_spec(1))).status == "queued"
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize("place", ["sqlite:////proc/jobs.sqlite", "postgresql://nobody@127.0.0.1:1/jobs"])
async def test_an_unreachable_database_fails_soon_and_is_logged_once(
    place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = JobQueue(place, tmp_path)
    started = time.monotonic()
    with caplog.at_level(logging.INFO, "service"):
        for call in (jobs.get("x"), jobs.submit(job_spec(1)), jobs.page(limit=1), jobs.cancel("x")):
            with pytest.raises(JobsUnavailable) as caught:
                await call
            assert "/proc" not in caught.value.message
    assert time.monotonic() - started < 10
    assert len([record for record in caplog.records if record.name == "service.fine_tuning.database"]) == 1
    await jobs.close()


async def test_a_server_that_takes_connections_and_says_nothing_fails_soon(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        jobs = JobQueue(f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/jobs", tmp_path)
        started = time.monotonic()
        assert await jobs.counts() is None
        assert time.monotonic() - started < 1
        with pytest.raises(JobsUnavailable):
            await jobs.get("x")
        assert time.monotonic() - started < 5
        await jobs.close()
        assert time.monotonic() - started < 6


async def test_counts_of_a_database_that_no_longer_answers_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.fine_tuning.database._COUNTS_SECONDS", 0.0)
    monkeypatch.setattr("service.fine_tuning.database._COUNTS_WAIT_SECONDS", 10.0)
    jobs = sqlite_jobs(tmp_path)
    await jobs.submit(job_spec(1))
    with closing(sqlite3.connect(tmp_path / "data" / "jobs.sqlite")) as connection:
        for outages in (1, 2):
            assert (await jobs.counts() or {})["queued"] == 1
            connection.execute("ALTER TABLE workflow_status RENAME TO hidden")
            assert [await jobs.counts(), await jobs.counts()] == [None, None]
            connection.execute("ALTER TABLE hidden RENAME TO workflow_status")
            assert len([record for record in caplog.records if "does not answer" in record.message]) == outages
    await jobs.close()


async def test_counts_are_asked_for_once_in_a_few_seconds(tmp_path: Path) -> None:
    jobs = sqlite_jobs(tmp_path)
    await jobs.submit(job_spec(1))
    async with asyncio.timeout(10):
        while (before := await jobs.counts()) is None:
            await asyncio.sleep(0.01)
    await jobs.submit(job_spec(2))
    assert await jobs.counts() is before
    await jobs.close()
