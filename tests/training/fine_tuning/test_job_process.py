import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from contract.job_events import EpochDone
from contract.job_spec import ALIVE_FILE, BUSY, LOCKS_FOLDER, PARENT_VARIABLE
from tests.training.jobs import Jobs, attempts, events, kinds, reported, until
from training.fine_tuning.run_job import ATTEMPT_FILE, RUN_FOLDER
from training.learning.run_folder import LAST

AT_ONCE_S = 20  # well under a second where the processor is free


@pytest.fixture
def jobs(store_root: Path, tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(store_root, tmp_path / "data")
    yield jobs
    jobs.close()


def epochs_done(folder: Path) -> list[int]:
    return [done.epoch for done in reported(folder, EpochDone)]


def test_a_killed_child_goes_on_to_the_same_weights_as_one_that_was_not(jobs: Jobs) -> None:
    fields: dict[str, Any] = {"n_epochs": 8, "training_file": jobs.turned_digits(600)}
    whole = jobs.create("ftjob-whole", name="whole", **fields)
    child = jobs.start(whole)
    output, _ = child.communicate(timeout=120)
    assert (child.returncode, output) == (0, ""), "a job that goes well leaves its log empty"
    assert kinds(whole) == ["started", *["metrics"] * 8, "published"]

    killed = jobs.create("ftjob-killed", name="killed", **fields)
    child = jobs.start(killed)
    until(lambda: len(epochs_done(killed)) == 3)
    time.sleep(0.1)  # into the next epoch
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert len(epochs_done(killed)) < 8
    assert jobs.store.versions("killed") == []
    with (killed / RUN_FOLDER / f".{LAST}").open("wb") as torn:
        torn.write(b"what a kill while saving leaves")

    assert jobs.run(killed) == 0
    assert epochs_done(killed) == list(range(1, 9))
    assert sorted(attempts(killed)) == attempts(killed)
    assert set(attempts(killed)) == {1, 2}
    one, other = jobs.exported(1, "whole"), jobs.exported(1, "killed")
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_child_stops_when_told_to_and_keeps_its_last_epoch_and_a_second_one_leaves_it_alone(jobs: Jobs) -> None:
    folder = jobs.create(n_epochs=10_000)
    (folder / ALIVE_FILE).touch()
    os.utime(folder / ALIVE_FILE, (0, 0))
    first = jobs.start(folder)
    until(lambda: epochs_done(folder))
    assert time.time() - (folder / ALIVE_FILE).stat().st_mtime < AT_ONCE_S
    second = jobs.start(folder)
    output, _ = second.communicate(timeout=120)
    assert second.returncode == BUSY
    assert output == "job ftjob-1 is running in another process\n"

    first.terminate()
    output, _ = first.communicate(timeout=AT_ONCE_S)
    assert (first.returncode, output) == (128 + signal.SIGTERM, "")
    assert set(attempts(folder)) == {1}
    assert (folder / RUN_FOLDER / LAST).exists()
    assert "failed" not in kinds(folder)


def test_one_training_at_a_time_on_a_device_and_a_waiting_one_can_be_stopped(jobs: Jobs) -> None:
    folder = jobs.create(n_epochs=1)
    locks = jobs.settings.data_dir / LOCKS_FOLDER
    locks.mkdir()
    with FileLock(locks / "device-cpu.lock"):
        child = jobs.start(folder)
        until(lambda: kinds(folder) == ["waiting"])
        assert "cpu" in events(folder)[-1].message
        time.sleep(0.3)
        assert kinds(folder) == ["waiting"]
        child.terminate()
        child.communicate(timeout=AT_ONCE_S)
        assert child.returncode == 128 + signal.SIGTERM
    assert jobs.run(folder) == 0
    assert kinds(folder) == ["waiting", "started", "metrics", "published"]


PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "training", "fine-tune", "--job", sys.argv[1]])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_child_dies_with_its_parent(jobs: Jobs) -> None:
    folder = jobs.create(n_epochs=10_000)
    parent = jobs.start_process(["-c", PARENT, str(folder)], jobs.environment())
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    until(lambda: epochs_done(folder))
    parent.kill()
    until(lambda: not is_running(child), seconds=AT_ONCE_S)


def test_a_child_whose_parent_is_gone_already_does_nothing(jobs: Jobs) -> None:
    folder = jobs.create()
    child = jobs.start(folder, **{PARENT_VARIABLE: str(2**22 - 1)})
    child.communicate(timeout=120)
    assert child.returncode == 128 + signal.SIGKILL
    assert not (folder / ATTEMPT_FILE).exists()
    assert kinds(folder) == []


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False
