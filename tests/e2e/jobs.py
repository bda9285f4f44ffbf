"""A world of fine-tuning jobs for tests: a store, a data folder, a jobs database, workers that are real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from contract.datasets.inspect import inspect
from contract.datasets.layout import Limits
from contract.job_events import Data, EpochDone, Event, read_events
from contract.job_spec import FILES_FOLDER, JOBS_FOLDER, DataFile, JobSpec
from service.fine_tuning.job import Job
from service.fine_tuning.queue import JobQueue
from service.uploads.storage import Uploads
from tests.service.process import ROOT, environment
from tests.training.jobs import Jobs as TrainingJobs
from tests.training.jobs import attempts, reported
from training.fine_tuning.run_job import RUN_FOLDER
from training.learning.run_folder import LAST

PATIENCE = 300.0  # a training has a low priority on a machine that may have much else to do
MODEL = "tiny-image"  # of which the tiny store has versions 1 and 2


class World:
    """What a fine-tuning needs, and a client of its jobs."""

    def __init__(self, store_root: Path, data_dir: Path, url: str, runner: asyncio.Runner) -> None:
        self.uploads = TrainingJobs(store_root, data_dir)
        self.store = self.uploads.store
        self.data = data_dir
        self.url = url
        self._kept = Uploads(data_dir, 2**30)
        self._runner = runner
        self._jobs = runner.run(_client(url, data_dir / JOBS_FOLDER))
        self._number = 0

    def close(self) -> None:
        """Let go of the database."""
        self._runner.run(self._jobs.close())

    def submit(self, **fields: Any) -> str:
        """Put a job into the queue; returns its id."""
        self._number += 1
        given = {
            "id": f"ftjob-{self._number:024x}",
            "name": MODEL,
            "model": MODEL,
            "version": 1,
            "training_file": fields.get("training_file") or self.upload(),
            "n_epochs": 5,
            "batch_size": 20,
            "learning_rate": 5e-3,
        }
        return self._runner.run(self._jobs.submit(JobSpec.model_validate(given | fields))).spec.id

    def upload(self, samples: int = 300) -> DataFile:
        """A data set, kept as the service keeps it, which removes what no upload names."""
        given = self.uploads.turned_digits(samples)
        incoming = self._kept.receive()
        try:
            incoming.write((self.data / FILES_FOLDER / given.sha256).read_bytes())
            summary = inspect(incoming.path, given.filename, Limits.of(self.uploads.settings))
            upload = self._kept.add(incoming, given.filename, summary)
        finally:
            incoming.discard()
        return DataFile(id=upload.id, filename=upload.filename, sha256=upload.sha256)

    def forget(self, file: DataFile) -> None:
        """Delete an upload."""
        self._kept.delete(file.id)

    def job(self, identity: str) -> Job:
        """The job as it is now."""
        return self._runner.run(self._jobs.get(identity))

    def cancel(self, identity: str) -> Job:
        """Cancel a job."""
        return self._runner.run(self._jobs.cancel(identity))

    def resume(self, identity: str) -> Job:
        """Let a job go on."""
        return self._runner.run(self._jobs.resume(identity))

    def ended(self, identity: str) -> Job:
        """The job, once it has ended."""
        until(lambda: self.job(identity).has_ended, every=0.1)
        return self.job(identity)

    def folder(self, identity: str) -> Path:
        """The job's folder."""
        return self.data / JOBS_FOLDER / identity

    def events(self, identity: str) -> list[Event]:
        """The events of the job."""
        return [event for _, event in read_events(self.folder(identity))]

    def epochs(self, identity: str) -> list[int]:
        """The epochs that were reported."""
        return [done.epoch for done in reported(self.folder(identity), EpochDone)]

    def attempts(self, identity: str) -> list[int]:
        """The attempts that reported events, in the order of the events."""
        return attempts(self.folder(identity))

    def reported(self, identity: str, kind: type[Data]) -> list[Event]:
        """The events of a kind."""
        return [event for event in self.events(identity) if isinstance(event.data, kind)]

    def saving(self, identity: str) -> bool:
        """Whether a state is being written at this moment."""
        return (self.folder(identity) / RUN_FOLDER / f".{LAST}").exists()

    def publishing(self) -> bool:
        """Whether a version is being written at this moment."""
        return any((self.store.root / MODEL).glob(".publish-*"))

    @contextmanager
    def no_version_is_numbered(self) -> Iterator[None]:
        """A version that is published stays at the last step, in which it is seen on a busy machine too."""
        with FileLock(self.store.root / MODEL / ".lock"):
            yield

    def given(self) -> dict[str, str]:
        """The settings of every process of this world."""
        given = {
            "DATA_DIR": str(self.data),
            "MODEL_STORE": str(self.store.root),
            "DEVICE": "cpu",
            "TRAINING_THREADS": "1",
            "THREADS": "1",
        }
        return given if self.url.startswith("sqlite") else given | {"DATABASE_URL": self.url}

    def settings(self, **settings: str) -> dict[str, str]:
        """The environment of a process with these settings beside."""
        return environment(**(self.given() | settings))

    @contextmanager
    def worker(self, name: str = "one", **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker, killed at the end; its log is added to `worker.log` in the data folder."""
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "training", "worker"],
                cwd=ROOT,
                env=self.settings(WORKER_ID=name, **settings),
                stderr=log,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def _client(url: str, folder: Path) -> JobQueue:
    return JobQueue(url, folder)


def leave(worker: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
    """Ask a worker to stop; returns its exit status."""
    worker.send_signal(number)
    return worker.wait(40)


def child_of(worker: subprocess.Popen[bytes]) -> int | None:
    """The process of the job that the worker runs."""
    for task in Path(f"/proc/{worker.pid}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for found in map(int, children):
            if b"fine-tune" in _command(found):
                return found
    return None


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def child(worker: subprocess.Popen[bytes]) -> int:
    """That process, once there is one."""
    until(lambda: child_of(worker) is not None)
    found = child_of(worker)
    assert found is not None
    return found


def runs(process: int) -> bool:
    """Whether the process is there, and is not merely waiting to be buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def held_when(condition: Callable[[], bool], process: int) -> Iterator[None]:
    """Stop the process in a moment in which the condition holds; it goes on, if it is still there, at the end."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert runs(process), "it ended before the moment came"
        assert time.monotonic() < deadline, "the moment never came"
        if condition():
            os.kill(process, signal.SIGSTOP)
            until(lambda: Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0] in "TZ")
            if condition():
                break
            os.kill(process, signal.SIGCONT)
    try:
        yield
    finally:
        if runs(process):
            os.kill(process, signal.SIGCONT)


def until(condition: Callable[[], object], seconds: float = PATIENCE, every: float = 0.01) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(every)
