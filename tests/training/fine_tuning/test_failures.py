import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.errors import Failure
from contract.job_events import Failed, Published
from contract.store import STATE_FILE
from tests.training.jobs import Jobs, events, kinds, last
from training.fine_tuning.run_job import FAILED, RUN_FOLDER
from training.learning.run_folder import LAST


@pytest.fixture
def jobs(store_root: Path, tmp_path: Path) -> Jobs:
    return Jobs(store_root, tmp_path / "data")


def failure(jobs: Jobs, folder: Path) -> Failure:
    """Run a job that must fail and publish nothing, and return what it reports."""
    before = {name: jobs.store.versions(name) for name in jobs.store.names()}
    assert jobs.run(folder) == FAILED
    assert {name: jobs.store.versions(name) for name in jobs.store.names()} == before
    assert "published" not in kinds(folder)
    event = events(folder)[-1]
    assert isinstance(event.data, Failed)
    assert event.level == "error"
    assert event.data.attempt == 1
    return Failure(event.data.code, event.message, event.data.param)


def test_a_deleted_data_set_is_named(jobs: Jobs) -> None:
    file = jobs.turned_digits()
    (jobs.settings.data_dir / "files" / file.sha256).unlink()
    found = failure(jobs, jobs.create(training_file=file))
    assert (found.code, found.param) == ("file_not_found", "training_file")
    assert file.id in found.message


def test_a_deleted_validation_file_is_named(jobs: Jobs) -> None:
    file = jobs.turned_digits(50, start=300)
    folder = jobs.create(validation_file=file)
    (jobs.settings.data_dir / "files" / file.sha256).unlink()
    found = failure(jobs, folder)
    assert (found.code, found.param) == ("file_not_found", "validation_file")


def test_a_class_that_the_model_does_not_have(jobs: Jobs) -> None:
    found = failure(jobs, jobs.create(training_file=jobs.turned_digits(labels="012345678x")))
    assert (found.code, found.param) == ("invalid_dataset", "training_file")
    assert "x" in found.message


def test_a_class_of_one_sample_cannot_be_cut_in_two(jobs: Jobs) -> None:
    file = jobs.arrays(np.zeros((4, 8, 8), np.uint8), np.array(["0", "0", "0", "1"]))
    assert failure(jobs, jobs.create(training_file=file)).code == "invalid_dataset"


def test_a_deleted_version(jobs: Jobs) -> None:
    folder = jobs.create()
    shutil.rmtree(jobs.store.root / "tiny-image" / "1")
    found = failure(jobs, folder)
    assert (found.code, found.param) == ("version_not_found", "model")


def test_a_deleted_model(jobs: Jobs) -> None:
    folder = jobs.create(name="other")
    shutil.rmtree(jobs.store.root / "tiny-image")
    assert failure(jobs, folder).code == "model_not_found"


def test_a_version_without_training_state(jobs: Jobs) -> None:
    (jobs.store.root / "tiny-image" / "1" / STATE_FILE).unlink()
    assert failure(jobs, jobs.create()).code == "version_not_found"


def test_an_unknown_layer_to_freeze(jobs: Jobs) -> None:
    found = failure(jobs, jobs.create(freeze=["conv9"]))
    assert found.code == "invalid_parameter"
    assert found.param == "method.supervised.hyperparameters.freeze"
    assert "conv1" in found.message


def test_everything_frozen(jobs: Jobs) -> None:
    assert failure(jobs, jobs.create(freeze=["conv1", "fc1", "vote"])).code == "invalid_parameter"


@pytest.mark.filterwarnings("ignore:.*invalid value encountered")
def test_training_that_diverges_publishes_nothing_and_keeps_no_state_of_it(jobs: Jobs) -> None:
    folder = jobs.create(learning_rate=1e37, n_epochs=3)
    found = failure(jobs, folder)
    assert (found.code, found.param) == ("diverged", "method.supervised.hyperparameters.learning_rate_multiplier")
    assert "not finite" in found.message
    assert not (folder / RUN_FOLDER / LAST).exists()


def test_what_nobody_foresaw_is_told_by_its_name_alone(jobs: Jobs, capfd: pytest.CaptureFixture[str]) -> None:
    (jobs.store.root / "tiny-image" / "1" / STATE_FILE).write_bytes(b"not a state")
    found = failure(jobs, jobs.create())
    assert found.code == "internal_error"
    assert found.message == "training failed: SafetensorError"
    assert "Traceback" in capfd.readouterr().err


def test_a_failed_job_goes_on_once_the_cause_is_gone(jobs: Jobs) -> None:
    file = jobs.turned_digits()
    path = jobs.settings.data_dir / "files" / file.sha256
    path.rename(path.with_suffix(".away"))
    folder = jobs.create(training_file=file)
    failure(jobs, folder)
    path.with_suffix(".away").rename(path)
    assert jobs.run(folder) == 0
    assert last(folder, Published).attempt == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Fill a file system up to some bytes."""
    path = disk / "filling"
    path.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - leave)))
    return path


def test_a_full_disk_while_saving_is_told_and_the_job_goes_on_when_there_is_room(jobs: Jobs, small_disk: Path) -> None:
    folder = jobs.create(n_epochs=2)
    moved = small_disk / folder.name
    shutil.move(folder, moved)
    filling = fill(small_disk, 20_000)
    assert failure(jobs, moved).code == "insufficient_storage"
    assert not [path for path in (moved / RUN_FOLDER).iterdir() if path.name.startswith(".")]
    filling.unlink()
    assert jobs.run(moved) == 0


def test_a_full_disk_while_publishing_is_told_and_the_job_goes_on_when_there_is_room(
    jobs: Jobs, small_disk: Path
) -> None:
    small = Jobs(small_disk / "store", jobs.settings.data_dir)
    shutil.copytree(jobs.store.root / "tiny-image" / "1", small.store.root / "tiny-image" / "1")
    folder = small.create(n_epochs=1)
    filling = fill(small_disk, 16_000)
    assert failure(small, folder).code == "insufficient_storage"
    assert sorted(path.name for path in (small.store.root / "tiny-image").iterdir()) == ["1"]
    filling.unlink()
    assert small.run(folder) == 0
    assert small.store.versions("tiny-image") == [1, 2]
