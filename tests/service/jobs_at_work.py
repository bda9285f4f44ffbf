"""Jobs for tests: specifications, a fresh database on SQLite or Postgres, and a worker that pretends to work."""

import asyncio
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, PortableWorkflowError

from contract.job_events import Published, append_event
from contract.job_spec import APPLICATION, APPLICATION_VERSION, QUEUE, WORKFLOW, DataFile, JobSpec
from service.fine_tuning.queue import JobQueue

ROOT = Path(__file__).parents[2]
# A Postgres server that tests may make databases on, as postgresql://user:password@host:port
POSTGRES = os.environ.get("TEST_POSTGRES_URL")
DATABASES = ["sqlite", *(["postgres"] if POSTGRES else [])]


def new_database(kind: str, tmp_path: Path) -> str:
    """The URL of a database that does not exist yet."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'data' / 'jobs.sqlite'}"
    return f"{POSTGRES}/jobs_{uuid.uuid4().hex}"


def sqlite_jobs(tmp_path: Path) -> JobQueue:
    """Jobs on SQLite, in `data` of the folder."""
    return JobQueue(new_database("sqlite", tmp_path), tmp_path / "data" / "jobs")


def job_spec(number: int, **fields: Any) -> JobSpec:
    file = DataFile(id="file-1", filename="digits.zip", sha256="0" * 64)
    given = {
        "id": f"ftjob-{number:024x}",
        "name": "tiny",
        "model": "tiny",
        "version": 1,
        "training_file": file,
        "n_epochs": 3,
        "batch_size": 20,
        "learning_rate": 0.001,
    }
    return JobSpec.model_validate(given | fields)


class Worker:
    """A process that takes jobs from the database, one at a time, and only pretends to do them.

    A job whose metadata has `do: fail` fails with code `diverged`, `do: crash` by an exception of no kind, `do: hang`
    runs until it is cancelled; each does so once.
    """

    def __init__(self, log: Path) -> None:
        self._log = log

    @property
    def taken(self) -> list[str]:
        """The ids of the jobs in the order in which it took them."""
        return self._log.read_text().split()


@contextmanager
def working(url: str, tmp_path: Path) -> Iterator[Worker]:
    """A worker on the database until it is killed in the end; jobs have their folders in `data/jobs`."""
    log = tmp_path / "taken"
    log.touch()
    arguments = [url, str(log), str(tmp_path / "data" / "jobs")]
    process = subprocess.Popen([sys.executable, "-m", __name__, *arguments], cwd=ROOT)
    try:
        yield Worker(log)
    finally:
        process.kill()
        process.wait()


def main(url: str, log: Path, jobs: Path) -> None:
    config = DBOSConfig(
        name=APPLICATION,
        system_database_url=url,
        application_version=APPLICATION_VERSION,
        executor_id="tests",
        serializer=DBOSPortableJSONSerializer(),
        log_level="CRITICAL",
    )
    DBOS(config=config)

    @DBOS.workflow(name=WORKFLOW)
    async def fine_tune(spec: dict[str, Any]) -> None:
        again = spec["id"] in log.read_text()
        with log.open("a") as file:
            file.write(f"{spec['id']}\n")
        match spec["metadata"].get("do"):
            case "fail" if not again:
                raise PortableWorkflowError("it diverged", name="JobFailed", code="diverged", data={"param": "seed"})
            case "crash" if not again:
                raise OSError("/secret/path")
            case "hang" if not again:
                await asyncio.sleep(3600)
        folder = jobs / spec["id"]
        folder.mkdir(parents=True, exist_ok=True)
        append_event(folder, "published", Published(attempt=1, model=f"{spec['name']}/2"))

    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=0.05)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
