import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from contract.card import Card, read_card
from contract.job_events import EVENTS_FILE, EpochDone, Progress, Published
from contract.reference import read_reference
from contract.store import Store
from tests.training.jobs import Jobs, events, kind_of, kinds, last, reported
from training.export.card_table import card_report
from training.export.checkpoint import load_scripted
from training.export.evaluate import evaluate
from training.fine_tuning.base_version import BaseVersion, starting_network
from training.fine_tuning.reporting import ReportingCheckpoint
from training.fine_tuning.run_job import RUN_FOLDER


@pytest.fixture
def jobs(store_root: Path, tmp_path: Path) -> Jobs:
    return Jobs(store_root, tmp_path / "data")


def changed(jobs: Jobs, version: int) -> set[str]:
    """The exported tensors that differ from those of the base."""
    before, after = jobs.exported(1), jobs.exported(version)
    assert before.keys() == after.keys()
    return {name for name, value in after.items() if value.numpy().tobytes() != before[name].numpy().tobytes()}


def test_a_job_publishes_a_version_that_knows_the_new_data(jobs: Jobs) -> None:
    folder = jobs.create(n_epochs=5)
    assert jobs.run(folder) == 0

    card = jobs.card(3)
    assert (card.name, card.parent) == ("tiny-image", "tiny-image/1")
    assert card.learning.job == "ftjob-1"
    assert card.learning.baseline_accuracy is not None
    assert card.learning.baseline_accuracy < 0.3 < card.metrics.accuracy
    assert (card.learning.mode, card.learning.dataset, card.learning.lr) == ("stl", "turned.npz", 5e-3)
    assert card.learning.samples + card.metrics.samples == 300
    assert card.layers == jobs.card(1).layers
    assert "validation accuracy" in card_report(card, 3)
    assert "test accuracy" not in card_report(card, 3)
    assert kinds(folder) == ["started", *["metrics"] * 5, "published"]
    assert last(folder, Published).model == "tiny-image/3"
    assert not (folder / RUN_FOLDER).exists()
    reference = read_reference(jobs.settings.model_store[0] / "tiny-image" / "3" / "model.pt")
    assert reference is not None
    assert (reference.measured_on, reference.samples) == ("validation", card.metrics.samples)


def test_a_base_in_a_folder_that_is_only_read_gets_its_version_in_the_first_folder(jobs: Jobs, tmp_path: Path) -> None:
    read_only, mine = jobs.store.root, tmp_path / "mine"
    before = sorted(read_only.rglob("*"))
    jobs.settings = jobs.settings.model_copy(update={"model_store": (mine, read_only)})
    assert jobs.run(jobs.create(n_epochs=1, promote="always")) == 0
    assert read_card(mine / "tiny-image" / "3" / "model.pt").parent == "tiny-image/1"
    assert Store(mine, read_only).pointer("tiny-image").version == 3
    assert sorted(read_only.rglob("*")) == before


def test_the_figures_are_those_of_the_exported_form_on_the_validation_part(jobs: Jobs) -> None:
    folder = jobs.create(seed=3)
    jobs.run(folder)
    card, (_, validation) = jobs.card(3), jobs.parts(folder)
    measured = evaluate(load_scripted(jobs.store.checkpoint_path("tiny-image", 3)), validation)
    assert card.metrics.accuracy == measured.accuracy == card.metrics.validation_accuracy
    assert card.metrics.spikes_per_sample == pytest.approx(float(measured.spikes.sum()))
    baseline = evaluate(load_scripted(jobs.store.checkpoint_path("tiny-image", 1)), validation).accuracy
    assert card.learning.baseline_accuracy == baseline


def test_every_epoch_is_told_with_its_figures(jobs: Jobs) -> None:
    folder = jobs.create(n_epochs=3)
    jobs.run(folder)
    done = reported(folder, EpochDone)
    assert [(each.epoch, each.step) for each in done] == [(1, 12), (2, 24), (3, 36)]
    for each in done:
        assert (each.attempt, each.epochs, each.steps) == (1, 3, 36)
        assert 0 < each.loss < 1
        assert 0 <= each.accuracy <= 1
        assert each.spikes_per_sample > 0
        assert each.baseline_accuracy == jobs.card(3).learning.baseline_accuracy


def test_of_equally_good_epochs_the_last_is_taken(jobs: Jobs) -> None:
    folder = jobs.create(n_epochs=3, learning_rate=1e-30)
    jobs.run(folder)
    accuracies = [each.accuracy for each in reported(folder, EpochDone)]
    best = max(accuracies)
    assert accuracies.count(best) > 1
    assert jobs.card(3).learning.best_epoch == 3 - accuracies[::-1].index(best)


def test_a_long_epoch_tells_how_far_it_is(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.fine_tuning.reporting.PROGRESS_SECONDS", 0)
    folder = jobs.create(n_epochs=2)
    jobs.run(folder)
    found = reported(folder, Progress)
    assert [each.step for each in found] == list(range(1, 25))
    assert [each.epoch for each in found] == [0] * 12 + [1] * 12
    assert all((each.steps, each.epochs, each.attempt) == (24, 2, 1) for each in found)
    assert all(each.loss is not None and 0 < each.loss < 1 for each in found)


def test_a_short_epoch_does_not(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.fine_tuning.reporting.PROGRESS_SECONDS", 3600)
    folder = jobs.create(n_epochs=1)
    jobs.run(folder)
    assert [kind_of(event) for event in events(folder)] == ["started", "metrics", "published"]


def test_stl_moves_weights_and_thresholds(jobs: Jobs) -> None:
    jobs.run(jobs.create(mode="stl", n_epochs=1))
    moved = changed(jobs, 3)
    assert {f"network.stages.{layer}.neurons.threshold" for layer in ("conv1", "fc1", "vote")} <= moved
    assert {f"network.stages.{layer}.synapses.weight" for layer in ("conv1", "fc1", "vote")} <= moved


def test_sl_moves_weights_and_leaves_thresholds(jobs: Jobs) -> None:
    jobs.run(jobs.create(mode="sl", n_epochs=1))
    moved = changed(jobs, 3)
    assert not any(name.endswith("threshold") for name in moved)
    assert {f"network.stages.{layer}.synapses.weight" for layer in ("conv1", "fc1", "vote")} <= moved


def test_tl_moves_thresholds_and_leaves_every_byte_of_the_exported_weights(jobs: Jobs) -> None:
    jobs.run(jobs.create(mode="tl", n_epochs=2, learning_rate=0.05))
    assert changed(jobs, 3) == {f"network.stages.{layer}.neurons.threshold" for layer in ("conv1", "fc1", "vote")}


def test_frozen_layers_stay_what_they_were(jobs: Jobs) -> None:
    jobs.run(jobs.create(freeze=["conv1", "fc1"]))
    moved = changed(jobs, 3)
    assert moved
    assert all(name.startswith("network.stages.vote.") for name in moved)


def test_new_labels_get_a_new_output_layer_and_keep_the_rest(jobs: Jobs) -> None:
    digits = jobs.turned_digits(labels="abcdefghij")
    labels = (*"abcdefghij", "unseen")
    fields: dict[str, Any] = {"labels": labels, "freeze": ["conv1", "fc1"], "n_epochs": 8, "learning_rate": 2e-2}
    assert jobs.run(jobs.create(training_file=digits, name="tiny-letters", **fields)) == 0

    card = jobs.card(1, "tiny-letters")
    assert card.labels == labels
    assert card.layers[-1].neurons == 22
    assert "baseline_accuracy" not in card.learning.model_dump()
    assert card.metrics.accuracy > 0.3
    before, after = jobs.exported(1), jobs.exported(1, "tiny-letters")
    for name, value in before.items():
        assert torch.equal(value, after[name]) != ("vote" in name)


def test_a_new_output_layer_learns_in_every_mode(jobs: Jobs) -> None:
    for mode in ("stl", "sl", "tl"):
        folder = jobs.create(mode, labels=[*"0123456789"], name=f"tiny-{mode}", mode=mode, n_epochs=1)
        assert jobs.run(folder) == 0
    network, _ = starting_network(BaseVersion.find(jobs.store, "tiny-image", 1), jobs.spec(folder))
    start, weight, threshold = network.state_dict(), "stages.vote.synapses.weight", "stages.vote.neurons.threshold"
    for mode in ("stl", "sl", "tl"):
        state = jobs.state(f"tiny-{mode}", 1)
        assert not torch.equal(state[weight], start[weight])
        assert torch.equal(state[threshold], start[threshold]) == (mode == "sl")
        assert torch.equal(state["stages.fc1.synapses.weight"], start["stages.fc1.synapses.weight"]) == (mode == "tl")


def test_event_recordings_are_fine_tuned(jobs: Jobs) -> None:
    folder = jobs.create(training_file=jobs.bars(80), name="tiny-events", model="tiny-events", n_epochs=12)
    assert jobs.run(folder) == 0
    card = jobs.card(2, "tiny-events")
    assert card.learning.baseline_accuracy is not None
    assert card.learning.baseline_accuracy < 0.7 < card.metrics.accuracy


def test_a_validation_file_is_what_is_measured_on(jobs: Jobs) -> None:
    validation = jobs.turned_digits(50, start=300)
    jobs.run(jobs.create(validation_file=validation, n_epochs=1))
    card = jobs.card(3)
    assert (card.learning.samples, card.metrics.samples) == (300, 50)
    assert card.learning.validation_sha256 == validation.sha256


def test_a_fine_tuned_version_is_fine_tuned_again(jobs: Jobs) -> None:
    jobs.run(jobs.create("ftjob-1", n_epochs=1))
    assert jobs.run(jobs.create("ftjob-2", version=3, n_epochs=1)) == 0
    assert jobs.card(4).parent == "tiny-image/3"
    assert jobs.card(4).learning.model_dump().keys() == jobs.card(3).learning.model_dump().keys()


def test_a_stopped_job_goes_on_to_the_same_weights_and_tells_each_epoch_once(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.run(jobs.create("ftjob-1", n_epochs=4, name="whole"))

    folder = jobs.create("ftjob-2", n_epochs=4, name="stopped")
    stop_before = ReportingCheckpoint._report_epoch
    with monkeypatch.context() as patch:
        patch.setattr(ReportingCheckpoint, "_report_epoch", lambda self, done: killed(self, done, stop_before))
        with pytest.raises(SystemExit):
            jobs.run(folder)
    assert [each.epoch for each in reported(folder, EpochDone)] == [1]
    assert jobs.run(folder) == 0
    assert [(each.epoch, each.attempt) for each in reported(folder, EpochDone)] == [(1, 1), (2, 2), (3, 2), (4, 2)]
    whole, stopped = jobs.exported(1, "whole"), jobs.exported(1, "stopped")
    assert all(torch.equal(value, stopped[name]) for name, value in whole.items())


def killed(
    states: ReportingCheckpoint, done: EpochDone, report: Callable[[ReportingCheckpoint, EpochDone], None]
) -> None:
    """Stop between saving the second epoch and reporting it."""
    if done.epoch == 2:
        raise SystemExit(1)
    report(states, done)


def test_what_was_published_is_not_published_again(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = jobs.create(n_epochs=1, promote="always")
    with monkeypatch.context() as patch:
        patch.setattr("training.fine_tuning.run_job.read_card", left_at_once)  # between publishing and telling of it
        with pytest.raises(SystemExit):
            jobs.run(folder)
    assert jobs.store.versions("tiny-image") == [1, 2, 3]
    assert "published" not in kinds(folder)

    assert jobs.run(folder) == 0
    assert jobs.store.versions("tiny-image") == [1, 2, 3]
    assert kinds(folder) == ["started", "metrics", "started", "published", "promoted"]
    assert jobs.run(folder) == 0
    assert kinds(folder)[5:] == ["started"]


def left_at_once(path: Path) -> Card:
    if path.parent.name == "3":
        raise SystemExit(1)
    return read_card(path)


def test_a_base_that_is_gone_does_not_matter_once_the_version_is_there(jobs: Jobs) -> None:
    folder = jobs.create(n_epochs=1)
    jobs.run(folder)
    (folder / EVENTS_FILE).unlink()
    shutil.rmtree(jobs.store.root / "tiny-image" / "1")
    shutil.rmtree(jobs.settings.data_dir / "files")
    assert jobs.run(folder) == 0
    assert kinds(folder) == ["started", "published"]
