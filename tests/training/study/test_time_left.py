import json
from pathlib import Path

import pytest

from tests.training.study.studies import tiny_study
from training.study.folder import PROGRESS_FILE, StudyFolder, Task, make_task
from training.study.plan import NoisePlan
from training.study.time_left import TimeLeft, in_words


def task(seed: int, *, epochs: int = 10, is_search: bool = False) -> Task:
    study = tiny_study()
    config = study.config(study.arms[1], {}, seed).model_copy(update={"epochs": epochs})
    return make_task(config, "data", is_search=is_search, noise=NoisePlan())


def test_the_estimate_comes_from_the_first_epoch_and_then_from_finished_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    folder, tasks = StudyFolder(tmp_path), [task(seed) for seed in range(4)]
    clock = TimeLeft(folder, 2)
    clock.start(tasks[0])
    assert clock.seconds(tasks[1:], tasks[:1]) is None

    progress = folder.run_folder(tasks[0]) / PROGRESS_FILE
    progress.parent.mkdir(parents=True)
    progress.write_text(json.dumps({"epochs": 1, "seconds": 6.0}))
    now += 6  # an epoch takes 6 s, so a run 60 s: 54 s and three times 60 s for two processes
    assert clock.seconds(tasks[1:], tasks[:1]) == pytest.approx((54 + 180) / 2)

    now += 74
    assert clock.end(tasks[0]) == 80  # the measurements took 20 s
    assert clock.seconds(tasks[1:], []) == pytest.approx(3 * 80 / 2)
    assert clock.seconds([], []) == 0


def test_a_run_of_twice_the_epochs_takes_twice_as_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    clock, search, run = TimeLeft(StudyFolder(tmp_path), 1), task(9, epochs=5, is_search=True), task(1)
    clock.start(search)
    now = 30.0
    clock.end(search)
    assert clock.seconds([run], []) == pytest.approx(60)


def test_times_are_said_in_words() -> None:
    assert [in_words(seconds) for seconds in (5, 89, 720, 12_000)] == ["5 s", "89 s", "12 min", "3 h 20 min"]
