"""The jobs engine as the worker uses it, with rows that somebody else wrote."""

import asyncio
import base64
import json
import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.service.jobs_at_work import ROOT, job_spec, new_database, sqlite_jobs
from tests.training.jobs import until

WORKER = """
import sys, threading
from pathlib import Path
from training.worker import engine

async def workflow(specification):
    with Path(sys.argv[2]).open("a") as file:
        file.write(specification["id"] + " ")

engine.register(workflow)
engine.launch(sys.argv[1], "one", "critical")
threading.Event().wait()
"""


class Code:
    """Pickled, it makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


async def test_a_bad_row_at_the_head_of_the_queue_runs_no_code_and_holds_up_no_job(tmp_path: Path) -> None:
    mark, taken, jobs = tmp_path / "mark", tmp_path / "taken", sqlite_jobs(tmp_path)
    await jobs.submit(job_spec(1))
    good = json.dumps({"positionalArgs": [{"id": "of a bad row"}], "namedArgs": {}})
    bad: list[dict[str, object]] = [
        {"serialization": "py_pickle", "inputs": base64.b64encode(pickle.dumps(Code(mark))).decode()},
        {"inputs": "{"},
        {"inputs": b"\xff"},
        {"inputs": good, "authenticated_roles": "{"},
        {"inputs": good, "attributes": "{"},
        {"inputs": good, "class_name": "Missing"},
    ]
    with closing(sqlite3.connect(tmp_path / "data" / "jobs.sqlite")) as connection, connection:
        for number, values in enumerate(bad):
            row = {
                "workflow_uuid": f"bad{number}",
                "status": "ENQUEUED",
                "name": "fine_tune",
                "created_at": 1,
                "updated_at": 1,
                "priority": 1,
                "queue_name": "fine-tuning",
                "application_version": "1",
                "recovery_attempts": 0,
                "serialization": "portable_json",
            } | values
            names, marks = ",".join(row), ",".join("?" * len(row))
            connection.execute(f"INSERT INTO workflow_status ({names}) VALUES ({marks})", list(row.values()))
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, new_database("sqlite", tmp_path), str(taken)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        await asyncio.to_thread(until, lambda: taken.exists() and job_spec(1).id in taken.read_text(), 60)
    finally:
        worker.kill()
        worker.wait()
        await jobs.close()
    assert not mark.exists()
