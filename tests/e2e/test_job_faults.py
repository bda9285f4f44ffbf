"""Real faults: processes are killed, asked to stop and started again; a job always ends once."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from contract.job_events import Killed, Published, Started, Stopped
from contract.job_spec import HEARTBEAT_FILE, LOST_AFTER_SECONDS
from contract.store import Store
from tests.e2e.jobs import MODEL, World, child, child_of, held_when, leave, runs, until
from tests.service.process import ROOT, started
from tests.training.jobs import reported

EPOCHS = 30
BEFORE = [1, 2]
DIVERGING = 1e30


def check_whole(world: World, job: str) -> None:
    """The job has succeeded with one new version, each epoch was reported once, and attempts in their order."""
    done = world.ended(job)
    assert (done.status, done.error) == ("succeeded", None), (world.data / "worker.log").read_text()
    assert done.fine_tuned_model == f"{MODEL}/3"
    assert world.store.versions(MODEL) == [*BEFORE, 3]
    assert world.epochs(job) == list(range(1, EPOCHS + 1))
    assert world.attempts(job) == sorted(world.attempts(job))
    assert len(world.reported(job, Published)) == 1


def test_jobs_run_by_priority_then_age_and_a_killed_child_goes_on(world: World) -> None:
    diverging = world.submit(name="never", n_epochs=1, learning_rate=DIVERGING)
    first = world.submit(n_epochs=EPOCHS, priority=1)
    unwanted = world.submit()
    with world.worker() as worker:
        until(lambda: len(world.epochs(first)) >= 2)
        assert world.job(first).status == "running"
        assert [world.job(job).queue_position for job in (diverging, unwanted)] == [1, 2]
        os.kill(child(worker), signal.SIGKILL)
        check_whole(world, first)
        assert set(world.attempts(first)) == {1, 2}
        assert [killed.signal for killed in reported(world.folder(first), Killed)] == [signal.SIGKILL]
        world.cancel(unwanted)
        failed = world.ended(diverging)
        assert failed.status == "failed"
        assert failed.error is not None
        assert failed.error.code == "diverged"
        assert Store(world.store.root).versions("never") == []
        assert leave(worker) == 0
    assert world.reported(first, Started)[-1].created_at < world.reported(diverging, Started)[0].created_at
    assert world.reported(unwanted, Started) == []


def test_a_job_goes_on_on_another_worker_and_on_a_killed_one_that_is_back(world: World) -> None:
    job = world.submit(n_epochs=EPOCHS)
    with world.worker("one") as worker:
        until(lambda: world.epochs(job))
        running = child(worker)
        os.kill(running, signal.SIGSTOP)  # so that the job does not end meanwhile
        second = subprocess.run(
            [sys.executable, "-m", "training", "worker"],
            cwd=ROOT,
            env=world.settings(WORKER_ID="one"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 2
        assert "'one' is running already" in second.stderr
        os.kill(running, signal.SIGCONT)
        assert leave(worker) == 0
        assert not runs(running)
    assert world.job(job).status == "queued"
    assert world.reported(job, Stopped)
    with world.worker("two") as worker:
        until(lambda: len(world.reported(job, Started)) == 2)
        running = child(worker)
        worker.kill()
        until(lambda: not runs(running), seconds=5)
    assert world.job(job).status == "running"
    with world.worker("two"):
        check_whole(world, job)
    assert set(world.attempts(job)) == {1, 2, 3}


def test_a_cancelled_job_stops_and_goes_on_where_it_was(world: World) -> None:
    with world.worker() as worker:
        job = world.submit(n_epochs=EPOCHS)
        until(lambda: world.epochs(job))
        running = child(worker)
        assert world.cancel(job).status == "cancelled"
        until(lambda: not runs(running), seconds=10)
        told = len(world.epochs(job))
        assert told < EPOCHS
        world.resume(job)
        check_whole(world, job)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["start", "epoch", "saving", "publishing"])
@pytest.mark.parametrize("victim", ["child", "worker", "service"])
def test_a_process_that_ends_loses_nothing(
    world: World, tmp_path: Path, victim: str, moment: str, number: signal.Signals
) -> None:
    job = world.submit(n_epochs=EPOCHS)

    def in_epoch() -> bool:
        return len(world.epochs(job)) >= 3

    moments = {"epoch": in_epoch, "saving": lambda: in_epoch() and world.saving(job), "publishing": world.publishing}
    with started(tmp_path / "service.log", **world.given()) as (service, _), world.worker() as worker:
        running = child(worker)
        process = {"child": running, "worker": worker.pid, "service": service.pid}[victim]
        if moment == "start":
            os.kill(process, number)
        else:
            late = world.no_version_is_numbered() if moment == "publishing" else nullcontext()
            with late, held_when(moments[moment], running):
                assert world.store.versions(MODEL) == BEFORE
                os.kill(process, number)
        if victim == "worker":
            assert worker.wait(40) == (0 if number == signal.SIGTERM else -number)
            until(lambda: not runs(running), seconds=5)
        if victim == "service":
            assert service.wait(40) == (0 if number == signal.SIGTERM else -number)
        with world.worker("another" if number == signal.SIGTERM else "one") if victim == "worker" else nullcontext():
            check_whole(world, job)
    if victim == "service":
        assert set(world.attempts(job)) == {1}
    with started(tmp_path / "service.log", **world.given()) as (_, url):
        assert httpx.get(f"{url}/v1/fine_tuning/jobs/{job}").json()["status"] == "succeeded"


@pytest.mark.long
def test_a_child_that_is_killed_each_time_fails_its_job_which_can_be_resumed(world: World) -> None:
    job = world.submit(n_epochs=EPOCHS)
    with world.worker() as worker:
        for attempt in range(1, 5):
            until(lambda attempt=attempt: len(world.reported(job, Started)) == attempt)  # type: ignore[misc]
            os.kill(child(worker), signal.SIGKILL)
        failed = world.ended(job)
        assert failed.error is not None
        assert failed.error.code == "killed"
        assert world.store.versions(MODEL) == BEFORE
        world.resume(job)
        check_whole(world, job)


@pytest.mark.long
def test_a_child_that_is_stopped_for_ever_is_replaced_and_holds_up_no_job(world: World) -> None:
    first, second = world.submit(n_epochs=EPOCHS), world.submit(n_epochs=1)
    with world.worker(WORKER_STALL_SECONDS="15") as worker:
        until(lambda: world.epochs(first))
        stopped = child(worker)
        os.kill(stopped, signal.SIGSTOP)
        check_whole(world, first)
        assert not runs(stopped)
        assert world.ended(second).status == "succeeded"


@pytest.mark.long
def test_what_a_queued_job_needs_may_be_gone(world: World) -> None:
    lost_data = world.upload(200)
    without_data = world.submit(name="other", training_file=lost_data)
    without_base = world.submit(version=2)
    world.forget(lost_data)
    world.store.delete(MODEL, 2)
    with world.worker():
        for job, code in ((without_data, "file_not_found"), (without_base, "version_not_found")):
            failed = world.ended(job)
            assert failed.error is not None
            assert failed.error.code == code
    assert world.store.versions(MODEL) == [1]


@pytest.mark.long
def test_a_queued_job_that_is_cancelled_never_runs(world: World) -> None:
    job = world.submit()
    world.cancel(job)
    other = world.submit(n_epochs=1)
    with world.worker():
        assert world.ended(other).status == "succeeded"
        time.sleep(2)
    assert world.job(job).status == "cancelled"
    assert world.reported(job, Started) == []


@pytest.mark.long
def test_cancel_and_resume_ten_times_in_a_row(world: World) -> None:
    job = world.submit(n_epochs=EPOCHS)
    with world.worker() as worker:
        until(lambda: world.epochs(job))
        for turn in range(10):
            world.cancel(job)
            time.sleep(0.1 * turn)
            world.resume(job)
            time.sleep(0.1 * turn)
        check_whole(world, job)
        assert leave(worker) == 0


@pytest.mark.long
def test_two_workers_on_one_database_run_each_job_once_and_one_at_a_time_on_a_device(world: World) -> None:
    jobs = [world.submit(name=f"model-{number}", n_epochs=3) for number in range(6)]
    with world.worker("one"), world.worker("two"):
        for job in jobs:
            assert world.ended(job).status == "succeeded"
    assert [set(world.attempts(job)) for job in jobs] == [{1}] * 6
    assert [world.store.versions(f"model-{number}") for number in range(6)] == [[1]] * 6
    spans = [(world.reported(job, Started)[0].created_at, world.reported(job, Published)[0].created_at) for job in jobs]
    spans.sort()
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.long
def test_a_job_whose_machine_is_gone_for_good_is_moved_by_a_resume(world: World) -> None:
    job = world.submit(n_epochs=EPOCHS)
    with world.worker("gone") as worker:
        until(lambda: world.epochs(job))
        worker.kill()
    with world.worker("other"):
        until(lambda: world.job(job).status == "running" and _silence(world, job) > LOST_AFTER_SECONDS + 1)
        world.resume(job)
        check_whole(world, job)


def _silence(world: World, job: str) -> float:
    """Seconds since the worker `gone` has written its last heartbeat."""
    heartbeat = world.folder(job) / HEARTBEAT_FILE
    assert json.loads(heartbeat.read_text())["worker"] == "gone"
    return time.time() - heartbeat.stat().st_mtime


@pytest.mark.long
def test_a_locked_database_is_waited_for(world: World) -> None:
    if not world.url.startswith("sqlite"):
        pytest.skip("SQLite alone is locked as a whole")
    job = world.submit(n_epochs=EPOCHS)
    with world.worker() as worker:
        until(lambda: world.epochs(job))
        with sqlite3.connect(world.data / "jobs.sqlite", isolation_level=None) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            until(lambda: world.reported(job, Published))
            time.sleep(5)
            connection.execute("ROLLBACK")
        check_whole(world, job)
        assert set(world.attempts(job)) == {1}
        assert leave(worker) == 0


@pytest.mark.long
def test_a_database_that_restarts_in_the_middle_of_a_job_is_waited_for(world: World) -> None:
    control = os.environ.get("TEST_POSTGRES_CONTROL")
    if world.url.startswith("sqlite") or not control:
        pytest.skip("needs a Postgres that may be restarted, as `make test-postgres` has one")
    job = world.submit(n_epochs=EPOCHS)
    with world.worker() as worker:
        until(lambda: world.epochs(job))
        running = child(worker)
        subprocess.run(["sh", "-c", f"{control} stop"], check=True)
        try:
            until(lambda: world.reported(job, Published))
            time.sleep(3)
        finally:
            subprocess.run(["sh", "-c", f"{control} start"], check=True)
        check_whole(world, job)
        assert set(world.attempts(job)) == {1}
        assert child_of(worker) in (None, running)
        assert leave(worker) == 0


@pytest.mark.long
def test_a_full_disk_fails_a_job_which_goes_on_when_there_is_room(world: World, tmp_path: Path) -> None:
    jobs = world.data / "jobs"
    jobs.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(jobs)], check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with world.worker():
            ballast = jobs / "ballast"
            with ballast.open("wb") as file:
                file.write(bytes(shutil.disk_usage(jobs).free - 50_000))
            job = world.submit(n_epochs=EPOCHS)
            failed = world.ended(job)
            assert failed.error is not None
            assert failed.error.code == "insufficient_storage"
            assert world.store.versions(MODEL) == BEFORE
            ballast.unlink()
            world.resume(job)
            done = world.ended(job)
            assert done.status == "succeeded", done.error
            assert world.store.versions(MODEL) == [*BEFORE, 3]
    finally:
        subprocess.run(["umount", "-l", str(jobs)], check=True)


@pytest.mark.long
def test_a_worker_shows_that_it_is_healthy(world: World) -> None:
    def healthy() -> bool:
        command = [sys.executable, "-m", "training", "worker", "--health"]
        return subprocess.run(command, cwd=ROOT, env=world.settings(WORKER_ID="one"), check=False).returncode == 0

    assert not healthy()
    with world.worker() as worker:
        until(healthy)
        assert leave(worker) == 0
    assert not healthy()
