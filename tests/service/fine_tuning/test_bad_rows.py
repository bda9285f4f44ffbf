"""Rows of the jobs database that are not jobs: none of them runs code, and none hides another."""

import base64
import json
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from contract.errors import JobNotFound
from service.fine_tuning.queue import JobQueue
from tests.service.jobs_at_work import job_spec, sqlite_jobs

BAD = "ftjob-bad"


class Code:
    """Pickled, it makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def pickled(path: Path) -> str:
    return base64.b64encode(pickle.dumps(Code(path))).decode()


def insert(tmp_path: Path, **values: object) -> None:
    """Write a row by hand, as an intruder would, between the jobs that are there."""
    row = {
        "workflow_uuid": BAD,
        "status": "CANCELLED",
        "name": "fine_tune",
        "created_at": 1,
        "updated_at": 1,
        "priority": 1,
        "serialization": "portable_json",
        "queue_name": "fine-tuning",
        "application_version": "1",
        "recovery_attempts": 0,
    } | values
    with closing(sqlite3.connect(tmp_path / "data" / "jobs.sqlite")) as connection, connection:
        names = ",".join(row)
        marks = ",".join("CAST(? AS TEXT)" if isinstance(value, bytes) else "?" for value in row.values())
        connection.execute(f"INSERT INTO workflow_status ({names}) VALUES ({marks})", list(row.values()))


async def ids(jobs: JobQueue, **wanted: Any) -> list[str]:
    page, _ = await jobs.page(limit=10, **wanted)
    return [job.spec.id for job in page]


async def test_a_pickled_row_runs_no_code_and_is_no_job(tmp_path: Path) -> None:
    mark, jobs = tmp_path / "mark", sqlite_jobs(tmp_path)
    await jobs.submit(job_spec(1))
    for number, status in enumerate(["ERROR", "SUCCESS", "ENQUEUED", "PENDING", "CANCELLED"]):
        texts = dict.fromkeys(("inputs", "output", "error", "attributes"), pickled(mark))
        insert(tmp_path, workflow_uuid=f"{BAD}{number}", status=status, serialization="py_pickle", **texts)
    assert await ids(jobs) == [job_spec(1).id]
    assert await jobs.find(f"{BAD}0") is None
    with pytest.raises(JobNotFound):
        await jobs.get(f"{BAD}3")
    for change, bad in ((jobs.cancel, f"{BAD}2"), (jobs.resume, f"{BAD}0")):
        with pytest.raises(JobNotFound):
            await change(bad)
    await jobs.close()
    again = sqlite_jobs(tmp_path)  # which summarizes older jobs
    assert await ids(again, oldest_first=True) == [job_spec(1).id]
    await again.close()
    assert not mark.exists()


async def test_a_pickled_error_of_a_job_runs_no_code_and_fails_the_job(tmp_path: Path) -> None:
    mark, jobs = tmp_path / "mark", sqlite_jobs(tmp_path)
    await jobs.submit(job_spec(1))
    with closing(sqlite3.connect(tmp_path / "data" / "jobs.sqlite")) as connection, connection:
        arguments = ("ERROR", "py_pickle", pickled(mark))
        connection.execute("UPDATE workflow_status SET status = ?, serialization = ?, error = ?", arguments)
    [job] = (await jobs.page(limit=10))[0]
    assert job.error is not None
    assert (job.status, job.error.code) == ("failed", "internal_error")
    await jobs.close()
    assert not mark.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"inputs": "{"},
        {"inputs": "[" * 100_000},
        {"inputs": b"\xff", "attributes": b"\xff", "error": b"\xff", "status": "ERROR"},
        {"inputs": json.dumps({"positionalArgs": []})},
        {"inputs": json.dumps({"positionalArgs": [{"id": BAD}]}), "attributes": '{"spec": 3}'},
        {"inputs": json.dumps({"positionalArgs": [job_spec(2).model_dump(mode="json")]})},
        {"attributes": "{"},
        {"attributes": "[" * 100_000},
        {"attributes": "[]", "created_at": "now", "completed_at": b"x", "priority": "high"},
        {"status": "LOST"},
        {"error": "null", "status": "ERROR"},
    ],
)
async def test_a_row_of_garbage_hides_no_job(tmp_path: Path, values: dict[str, object]) -> None:
    jobs = sqlite_jobs(tmp_path)
    await jobs.submit(job_spec(1, metadata={"team": "red"}))
    insert(tmp_path, **values)
    for wanted in ({}, {"oldest_first": True}, {"metadata": {"team": "red"}}, {"status": "queued"}):
        assert await ids(jobs, **wanted) == [job_spec(1).id], wanted
    assert await ids(jobs, metadata={}) == []
    assert await jobs.find(BAD) is None
    assert (await jobs.counts() or {})["queued"] == 1
    await jobs.close()


@pytest.mark.parametrize("attributes", [None, "null"])
async def test_jobs_of_an_older_release_are_listed_and_found_by_their_metadata(
    tmp_path: Path, attributes: str | None
) -> None:
    jobs = sqlite_jobs(tmp_path)
    await jobs.submit(job_spec(1, metadata={"team": "red\0"}, labels=("a", "b")))
    with closing(sqlite3.connect(tmp_path / "data" / "jobs.sqlite")) as connection, connection:
        connection.execute("UPDATE workflow_status SET attributes = ?", (attributes,))
    [job] = (await jobs.page(limit=1))[0]
    assert (job.spec.labels, job.label_count) == (None, 2)
    await jobs.close()
    again = sqlite_jobs(tmp_path)
    assert await ids(again, metadata={"team": "red"}) == [job_spec(1).id]
    [job] = (await again.page(limit=1))[0]
    assert (job.spec.labels, job.label_count) == (None, 2)
    assert (await again.get(job_spec(1).id)).spec.labels == ("a", "b")
    await again.close()
