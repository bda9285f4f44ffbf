import shutil
from pathlib import Path
from typing import Any

import pytest

from contract.errors import ServiceError
from contract.job_events import NotPromoted, Promoted
from tests.training.jobs import Jobs, events, kinds, last
from training.data import Samples
from training.fine_tuning.promotion import default_in_force, promote
from training.fine_tuning.reporting import JobReporter

GARBAGE: dict[str, Any] = {"learning_rate": 5.0, "n_epochs": 1}  # moves the weights far from anything useful


@pytest.fixture
def jobs(store_root: Path, tmp_path: Path) -> Jobs:
    return Jobs(store_root, tmp_path / "data")


def default(jobs: Jobs, name: str = "tiny-image") -> int | None:
    return default_in_force(jobs.store, name)


def test_never_leaves_the_default(jobs: Jobs) -> None:
    folder = jobs.create(promote="never", n_epochs=1)
    jobs.run(folder)
    assert default(jobs) == 1
    assert kinds(folder)[-1] == "published"


def test_a_better_version_is_promoted(jobs: Jobs) -> None:
    folder = jobs.create(promote="if_better", n_epochs=4)
    jobs.run(folder)
    assert default(jobs) == 3
    assert last(folder, Promoted) == Promoted(attempt=1, model="tiny-image/3", previous=1)


def test_a_version_that_is_as_good_is_promoted(jobs: Jobs) -> None:
    upright = jobs.upright_digits()
    jobs.run(jobs.create(promote="if_better", learning_rate=1e-30, training_file=upright, mode="tl", n_epochs=1))
    card = jobs.card(3)
    assert card.metrics.accuracy == card.learning.baseline_accuracy
    assert default(jobs) == 3


def test_a_worse_version_is_not_promoted(jobs: Jobs) -> None:
    folder = jobs.create(promote="if_better", training_file=jobs.upright_digits(), **GARBAGE)
    assert jobs.run(folder) == 0
    assert default(jobs) == 1
    assert events(folder)[-1].level == "warn"
    assert "accuracy" in last(folder, NotPromoted).reason


def test_always_promotes_a_worse_version(jobs: Jobs) -> None:
    jobs.run(jobs.create(promote="always", training_file=jobs.upright_digits(), **GARBAGE))
    assert default(jobs) == 3


def test_the_default_of_now_is_compared_and_not_the_base(jobs: Jobs) -> None:
    jobs.run(jobs.create("ftjob-1", promote="always", n_epochs=6))
    folder = jobs.create("ftjob-2", promote="if_better", n_epochs=2, learning_rate=1e-3)
    jobs.run(folder)
    baseline = jobs.card(4).learning.baseline_accuracy
    assert baseline is not None
    assert baseline <= jobs.card(4).metrics.accuracy, "better than its base, and yet not promoted"
    assert default(jobs) == 3
    assert "tiny-image/3" in last(folder, NotPromoted).reason


def test_a_default_that_changes_meanwhile_stays(jobs: Jobs) -> None:
    jobs.run(jobs.create("ftjob-1", n_epochs=1))
    jobs.store.set_default("tiny-image", 2, present=1)
    folder = jobs.create("ftjob-2", promote="if_better", n_epochs=4)
    report = JobReporter(folder, 1)

    def somebody_promotes() -> Samples:
        jobs.store.set_default("tiny-image", 3, present=2)
        return jobs.parts(folder)[1]

    jobs.run(jobs.create("ftjob-3", n_epochs=4))
    promote(jobs.store, jobs.spec(folder), 4, jobs.card(4), somebody_promotes, report)
    assert default(jobs) == 3
    assert "is 3, not 2" in last(folder, NotPromoted).reason


def test_a_default_with_other_classes_stays(jobs: Jobs) -> None:
    folder = jobs.create(
        promote="if_better", n_epochs=1, training_file=jobs.turned_digits(labels="abcdefghij"), labels=[*"abcdefghij"]
    )
    assert jobs.run(folder) == 0
    assert default(jobs) == 1
    assert "other classes" in last(folder, NotPromoted).reason


def test_a_default_that_cannot_be_loaded_stays(jobs: Jobs) -> None:
    jobs.store.set_default("tiny-image", 2, present=1)
    (jobs.store.root / "tiny-image" / "2" / "model.pt").write_bytes(b"broken")
    folder = jobs.create(promote="if_better", n_epochs=1)
    assert jobs.run(folder) == 0
    assert default(jobs) == 2
    assert "cannot be measured" in last(folder, NotPromoted).reason


def test_the_first_version_of_a_new_model_is_its_default(jobs: Jobs) -> None:
    jobs.run(jobs.create(promote="if_better", name="tiny-image-new", n_epochs=1))
    assert default(jobs, "tiny-image-new") == 1
    pointer = jobs.store.pointer("tiny-image-new")
    assert (pointer.version, pointer.previous) == (1, None)


def test_a_roll_back_is_not_undone_by_a_second_run_of_the_job(jobs: Jobs) -> None:
    folder = jobs.create(promote="always", n_epochs=1)
    jobs.run(folder)
    jobs.store.set_default("tiny-image", 1, present=3)
    assert jobs.run(folder) == 0
    assert default(jobs) == 1


def test_without_a_pointer_the_lowest_version_that_works_is_the_default(jobs: Jobs) -> None:
    (jobs.store.root / "tiny-image" / "1" / "model.pt").write_bytes(b"broken")
    assert default(jobs) == 2
    shutil.rmtree(jobs.store.root / "tiny-image" / "2")
    assert default(jobs) is None


def test_data_that_is_gone_is_a_reason_not_to_promote(jobs: Jobs) -> None:
    jobs.run(jobs.create("ftjob-1", n_epochs=1))
    jobs.store.set_default("tiny-image", 2, present=1)
    folder = jobs.create("ftjob-2", promote="if_better", n_epochs=1)

    def deleted() -> Samples:
        raise ServiceError("file file-1 has been deleted")

    promote(jobs.store, jobs.spec(folder), 3, jobs.card(3), deleted, JobReporter(folder, 2))
    assert last(folder, NotPromoted).reason == "file file-1 has been deleted"
