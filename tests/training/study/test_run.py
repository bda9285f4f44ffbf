import shutil
from pathlib import Path

import numpy as np
import pytest

from contract.card import read_card
from contract.store import Store
from tests.training.study.studies import TINY, inline, tiny_study
from training.data import Dataset, load_dataset
from training.errors import ConfigError
from training.export.checkpoint import load_scripted
from training.export.evaluate import evaluate
from training.study import one_run
from training.study.compare import Comparisons
from training.study.folder import StudyFolder, Task
from training.study.packing import unpack_bits, unpack_numbers
from training.study.plan import Study
from training.study.result import Results
from training.study.results_file import read_results
from training.study.run import run_study
from training.study.tables import detail_tables


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.study.run._processes", inline)


def test_every_arm_has_every_seed_with_the_setting_that_its_search_chose(whole: tuple[Path, Results]) -> None:
    _, results = whole
    assert results.complete
    assert [(run.arm, run.seed) for run in results.runs] == [("sl", 0), ("stl", 0), ("sl", 1), ("stl", 1)]
    search = results.search["sl"]
    assert [point.point["threshold"] for point in search.points] == [0.3, 40.0]
    assert search.chosen == {"threshold": 0.3}  # at 40 nothing fires
    for run in results.runs:
        assert run.run.settings["threshold"] == 0.3
        assert run.run.settings["seed"] == run.seed
        assert run.run.settings["epochs"] == 2


def test_the_arms_of_a_seed_start_from_the_same_weights(whole: tuple[Path, Results]) -> None:
    starts = {(run.arm, run.seed): run.run.initial_weights for run in whole[1].runs}
    assert starts["sl", 0] == starts["stl", 0]
    assert starts["sl", 1] == starts["stl", 1]
    assert starts["sl", 0] != starts["sl", 1]


def test_results_are_those_of_the_published_network(whole: tuple[Path, Results]) -> None:
    root, results = whole
    digits = load_dataset("digits")
    labels = unpack_numbers(results.data.test_labels, (360,))
    for planned in results.runs:
        run, measured = planned.run, planned.run.test
        assert measured is not None
        checkpoint = Store(root / "models").checkpoint_path(run.key, 1)
        evaluation = evaluate(load_scripted(checkpoint), digits.test)
        votes = unpack_numbers(measured.votes, (360, 10))
        correct = unpack_bits(measured.correct, (360,))
        assert np.array_equal(votes, evaluation.votes.numpy())
        assert np.array_equal(correct, votes.argmax(1) == labels)
        assert measured.accuracy == correct.mean() == read_card(checkpoint).metrics.accuracy
        assert np.allclose(np.sum(measured.spikes_by_step, 0), evaluation.spikes.numpy())
        assert sum(map(sum, measured.operations_by_step)) == pytest.approx(measured.operations)
        assert [each.layer for each in run.statistics] == ["conv1", "vote"]
        assert run.raster is not None
        spikes = unpack_bits(run.raster.layers["vote"], (run.timesteps, 20))
        assert np.array_equal(spikes.sum(0).reshape(10, 2).sum(1), votes[run.raster.sample])


def test_each_epoch_is_recorded(whole: tuple[Path, Results]) -> None:
    run = whole[1].runs[1].run  # stl
    assert [epoch["epoch"] for epoch in run.history] == [1, 2]
    last = run.history[-1]
    assert set(last["firing_rate"]) == set(last["thresholds"]) == set(last["gradients"]) == {"conv1", "vote"}
    neurons = {"conv1": 4 * 8 * 8, "vote": 20}
    spikes = sum(sum(rates) * neurons[name] for name, rates in last["firing_rate"].items())
    assert spikes == pytest.approx(last["val_spikes"], rel=1e-5)
    assert last["gradients"]["conv1"]["thresholds"] > 0
    assert last["thresholds"]["conv1"]["mean"] != run.initial_thresholds[0].mean
    assert "thresholds" not in whole[1].runs[0].run.history[-1]["gradients"]["conv1"]  # sl


def test_every_noise_is_measured_on_the_same_samples(whole: tuple[Path, Results]) -> None:
    for run in whole[1].runs:
        assert run.noise is not None
        assert run.noise.samples == 50
        assert [(each.kind, each.level) for each in run.noise.results] == [
            ("clean", 0.0),
            ("gaussian", 0.3),
            ("weights", 0.5),
        ]
        clean, noisy = run.noise.results[:2]
        assert unpack_bits(clean.correct, (50,)).mean() == clean.accuracy
        assert noisy.spikes != clean.spikes


def trainings(study: Study, root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a study again; returns the keys of what it trained."""
    done: list[str] = []
    train = one_run._train

    def noted(task: Task, folder: StudyFolder, dataset: Dataset) -> None:
        done.append(task.key)
        train(task, folder, dataset)

    monkeypatch.setattr(one_run, "_train", noted)
    run_study(study, root)
    monkeypatch.setattr(one_run, "_train", train)
    return done


def test_what_is_done_is_kept_and_what_has_other_settings_is_done_anew(
    whole: tuple[Path, Results], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, before = tmp_path / "copy", whole[1]
    shutil.copytree(whole[0], root)
    assert trainings(tiny_study(), root, monkeypatch) == []

    arms = [TINY["arms"][0], TINY["arms"][1] | {"overrides": {"mode": "stl", "threshold": 0.4}}]
    assert [key[:6] for key in trainings(tiny_study(arms=arms), root, monkeypatch)] == ["stl-s0", "stl-s1"]
    after = read_results(root)
    assert [run.run for run in after.runs if run.arm == "sl"] == [run.run for run in before.runs if run.arm == "sl"]
    assert {run.run.settings["threshold"] for run in after.runs if run.arm == "stl"} == {0.4}

    assert trainings(tiny_study(noise={"samples": 20, "levels": {"gaussian": [0.1]}}), root, monkeypatch) == []
    assert {run.noise.samples for run in read_results(root).runs if run.noise} == {20}


def test_a_result_that_was_cut_off_is_not_believed(
    whole: tuple[Path, Results], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole[0], root)
    key = whole[1].runs[0].run.key
    file = root / "runs" / key / "result.json"
    file.write_bytes(file.read_bytes()[:-100])
    assert trainings(tiny_study(), root, monkeypatch) == [key]
    again = read_results(root)
    assert [run.run.test for run in again.runs] == [run.run.test for run in whole[1].runs]


def test_noise_that_does_not_fit_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="noise jitter is for events, and digits has images"):
        run_study(tiny_study(noise={"levels": {"jitter": [1.0]}}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_arm_can_have_as_many_parameters_that_learn_as_stl(tmp_path: Path) -> None:
    wider = {"name": "wide", "label": "Wide", "overrides": {"mode": "sl", "match_parameters": True}}
    base = TINY["base"] | {"epochs": 1, "train_samples": 100}
    fields = {"arms": [wider, TINY["arms"][1]], "baseline": "stl", "base": base, "seeds": [0], "noise": {}}
    wide, stl = (run.run for run in run_study(tiny_study(**fields), tmp_path / "study").runs)
    assert stl.learnt_parameters == stl.weights + stl.thresholds == wide.parameters_to_match
    assert wide.learnt_parameters == wide.weights
    assert abs(wide.weights - stl.learnt_parameters) < 10 + 16 * 20  # of one channel: its own, and those to the votes
    assert (wide.settings["network"], stl.network, stl.parameters_to_match) == ("4C3-MP2-VOTE2", "4C3-MP2-VOTE2", None)
    card = read_card(Store(tmp_path / "study" / "models").checkpoint_path(wide.key, 1))
    assert card.network == wide.network != "4C3-MP2-VOTE2"
    settings = next(
        table for table in detail_tables(Comparisons(read_results(tmp_path / "study"))) if table.title == "Arms"
    )
    assert settings.rows[0][3] == f"{wide.weights:,}, to match {stl.learnt_parameters:,}: {wide.network}"
