import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from pytorch_lightning import LightningModule, Trainer

from contract.card import Card, read_card
from contract.store import STATE_FILE, Store
from contract.structure import StructureError
from tests.tiny import tiny_event_config, tiny_events_dataset, tiny_image_config
from training.data import DataError, load_dataset
from training.errors import ConfigError, DivergedError
from training.export.checkpoint import load_scripted
from training.export.evaluate import evaluate
from training.learning.config import TrainingConfig
from training.learning.experiment import Experiment
from training.learning.run_folder import BEST, CONFIG_FILE, LAST, LOG_FOLDER, SavedStates
from training.learning.train import train

State = dict[str, torch.Tensor]


def trained(config: TrainingConfig, root: Path) -> tuple[State, Card]:
    published = train(config, load_dataset("digits"), Store(root / "store"), root / "run", progress=False)
    folder = root / "store" / config.name / str(published.version)
    return safetensors.torch.load_file(folder / STATE_FILE), published.card


def start_of(config: TrainingConfig) -> State:
    network, _ = Experiment(config, load_dataset("digits")).initial_network()
    return network.state_dict()


def moved(config: TrainingConfig, after: State) -> dict[str, bool]:
    before = start_of(config)
    return {name: not torch.equal(before[name], value) for name, value in after.items() if value.is_floating_point()}


def test_stl_moves_weights_and_thresholds(tmp_path: Path) -> None:
    config = tiny_image_config(epochs=1, mode="stl")
    changed = moved(config, trained(config, tmp_path)[0])
    assert all(changed[name] for name in changed if name.endswith(("threshold", "weight", "bias")))


def test_sl_moves_weights_and_leaves_thresholds(tmp_path: Path) -> None:
    config = tiny_image_config(epochs=1, mode="sl", threshold_std=0.1)
    changed = moved(config, trained(config, tmp_path)[0])
    assert not any(changed[name] for name in changed if name.endswith("threshold"))
    assert all(changed[name] for name in changed if name.endswith("synapses.weight"))


def test_tl_moves_thresholds_and_leaves_weights_and_batch_norm_gains(tmp_path: Path) -> None:
    config = tiny_image_config(epochs=1, mode="tl")
    changed = moved(config, trained(config, tmp_path)[0])
    assert all(changed[name] for name in changed if name.endswith("threshold"))
    assert not any(changed[name] for name in changed if name.endswith(("weight", "bias")))
    assert changed["stages.conv1.norm.norm.running_mean"]


def test_the_modes_start_from_the_same_network() -> None:
    starts = [start_of(tiny_image_config(mode=mode, threshold_std=0.1)) for mode in ("stl", "sl", "tl")]
    for other in starts[1:]:
        assert all(torch.equal(value, other[name]) for name, value in starts[0].items())


def test_the_same_configuration_gives_the_same_weights(tmp_path: Path) -> None:
    first, _ = trained(tiny_image_config(epochs=1), tmp_path / "a")
    torch.rand(100)
    again, _ = trained(tiny_image_config(epochs=1), tmp_path / "b")
    other, _ = trained(tiny_image_config(epochs=1, seed=5), tmp_path / "c")
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["stages.fc1.synapses.weight"], other["stages.fc1.synapses.weight"])


def test_the_card_tells_what_the_exported_form_scores(tiny_store_root: Path) -> None:
    path = Store(tiny_store_root).checkpoint_path("tiny-image", 1)
    card = read_card(path)
    again = evaluate(load_scripted(path), load_dataset("digits").test, batch_size=7)
    assert card.metrics.accuracy == again.accuracy > 0.3
    assert card.metrics.spikes_per_sample == pytest.approx(float(again.spikes.sum()))
    assert card.metrics.synops_per_sample == pytest.approx(float(again.synops.sum()))
    assert card.metrics.accumulates_per_sample == card.metrics.synops_per_sample
    assert card.metrics.energy_nj_per_sample == pytest.approx(0.9e-3 * card.metrics.synops_per_sample)
    assert set(card.metrics.firing_rate) == {"conv1", "fc1", "vote"}
    assert card.learning.samples == 450
    assert card.metrics.validation_samples == 50


def test_the_card_says_how_the_network_was_trained(tiny_store_root: Path) -> None:
    learning = read_card(Store(tiny_store_root).checkpoint_path("tiny-image", 1)).learning
    config = tiny_image_config().model_dump()
    shared = learning.model_dump(include=config.keys() - {"dataset"})
    assert shared == {name: config[name] for name in shared}
    assert shared.keys() >= {"mode", "seed", "threshold", "threshold_std", "batch_size", "shift", "train_samples"}
    assert (learning.dataset, learning.lr, learning.optimizer) == ("digits", config["learning_rate"], "adam")
    assert learning.measured_on is None


def test_event_recordings_train(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    published = train(tiny_event_config(), tiny_events_dataset(), store, tmp_path / "run", progress=False)
    assert published.card.metrics.accuracy > 0.7
    assert published.card.input.kind == "events"


def test_augmented_event_recordings_train(tmp_path: Path) -> None:
    config = tiny_event_config(shift=1, event_drop=0.5, epochs=1)
    assert train(config, tiny_events_dataset(), Store(tmp_path / "s"), tmp_path / "run", progress=False).version == 1


def test_the_log_of_each_epoch_stays_with_the_run(tmp_path: Path) -> None:
    _, card = trained(tiny_image_config(epochs=2, train_samples=100), tmp_path)
    with (tmp_path / "run" / LOG_FOLDER / "version_0" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val_accuracy"]]
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert card.learning.best_epoch is not None
    best = rows[card.learning.best_epoch - 1]
    assert float(best["val_accuracy"]) == max(float(row["val_accuracy"]) for row in rows)
    assert all(float(row["val_spikes"]) > 0 for row in rows)
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == [LOG_FOLDER]


def test_without_a_validation_part_the_last_epoch_is_taken(tmp_path: Path) -> None:
    _, card = trained(tiny_image_config(epochs=2, validation_fraction=0), tmp_path)
    assert card.learning.best_epoch == 2
    assert card.metrics.validation_accuracy is None


def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    config = tiny_image_config(epochs=6)
    whole, _ = trained(config, tmp_path / "whole")

    run = tmp_path / "killed" / "run"
    command = [sys.executable, "-c", KILLED_RUN, str(tmp_path / "killed" / "store"), str(run), config.model_dump_json()]
    child = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while not (run / LAST).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    stopped_at = torch.load(run / LAST, weights_only=True)["epoch"]
    assert stopped_at < config.epochs - 1

    store = Store(tmp_path / "killed" / "store")
    assert store.names() == []
    published = train(config, load_dataset("digits"), store, run, resume=True, progress=False)
    resumed = safetensors.torch.load_file(tmp_path / "killed" / "store" / config.name / "1" / STATE_FILE)
    assert published.version == 1
    assert not (run / LAST).exists()
    assert not (run / CONFIG_FILE).exists()
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


KILLED_RUN = """
import sys
from pathlib import Path
import torch
from contract.store import Store
from training.learning.config import TrainingConfig
from training.data import load_dataset
from training.learning.train import train
torch.set_num_threads(1)
store, run, config = sys.argv[1:]
config = TrainingConfig.model_validate_json(config)
train(config, load_dataset("digits"), Store(Path(store)), Path(run), progress=False)
"""


def test_the_epoch_is_the_best_on_validation_and_not_the_last(tmp_path: Path) -> None:
    config = tiny_image_config(epochs=5, learning_rate=0.05, seed=3)
    run = tmp_path / "run"
    accuracies = []

    class Watch(SavedStates):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            super().on_train_epoch_end(trainer, pl_module)
            accuracies.append(float(trainer.callback_metrics["val_accuracy"]))
            states.append({name: value.clone() for name, value in pl_module.state_dict().items()})

    states: list[State] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.learning.train.SavedStates", Watch)
        published = train(config, load_dataset("digits"), Store(tmp_path / "store"), run, progress=False)
    best = max(epoch for epoch, accuracy in enumerate(accuracies) if accuracy == max(accuracies))
    assert best < config.epochs - 1, "choose another seed: the best epoch has to come before the last here"
    assert published.card.learning.best_epoch == best + 1
    exported = safetensors.torch.load_file(tmp_path / "store" / config.name / "1" / STATE_FILE)
    assert all(torch.equal(value, states[best][f"network.{name}"]) for name, value in exported.items())


def stopped_after(config: TrainingConfig, epochs: int, run: Path, store: Store) -> None:
    """Leave a run as Ctrl-C would leave it after some epochs."""

    class Stop(SavedStates):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            super().on_train_epoch_end(trainer, pl_module)
            if trainer.current_epoch + 1 == epochs:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.learning.train.SavedStates", Stop)
        with pytest.raises(SystemExit):
            train(config, load_dataset("digits"), store, run, progress=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the trainer leaves it ignored
    assert (run / LAST).exists()
    assert (run / BEST).exists()


def test_a_run_resumes_to_the_same_weights_wherever_it_stopped_and_was_moved(tmp_path: Path) -> None:
    config = tiny_image_config(epochs=5, learning_rate=0.05, seed=3)
    whole, card = trained(config, tmp_path / "whole")
    for epochs in range(1, 5):
        store, run = Store(tmp_path / str(epochs) / "store"), tmp_path / str(epochs) / "run"
        stopped_after(config, epochs, run, store)
        moved_run = run.rename(tmp_path / str(epochs) / "moved")
        resumed = train(config, load_dataset("digits"), store, moved_run, resume=True, progress=False)
        weights = safetensors.torch.load_file(store.checkpoint_path(config.name, 1).with_name(STATE_FILE))
        assert resumed.card.learning.best_epoch == card.learning.best_epoch
        assert all(torch.equal(value, weights[name]) for name, value in whole.items())


def test_a_run_that_was_stopped_after_publishing_is_not_published_again(tmp_path: Path) -> None:
    config, store, run = tiny_image_config(epochs=2), Store(tmp_path / "store"), tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.learning.train.close_run", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(config, load_dataset("digits"), store, run, progress=False)
    assert store.versions(config.name) == [1]
    assert train(config, load_dataset("digits"), store, run, resume=True, progress=False).version == 1
    assert store.versions(config.name) == [1]
    assert not (run / LAST).exists()
    assert not (run / CONFIG_FILE).exists()


def test_training_that_diverges_publishes_nothing(tmp_path: Path) -> None:
    config, store = tiny_image_config(epochs=2, learning_rate=1e37), Store(tmp_path / "store")
    with pytest.raises(DivergedError, match="not finite"):
        train(config, load_dataset("digits"), store, tmp_path / "run", progress=False)
    assert store.names() == []


def test_a_configuration_that_does_not_fit_leaves_no_run_behind(tmp_path: Path) -> None:
    digits, store, run = load_dataset("digits"), Store(tmp_path / "store"), tmp_path / "run"
    with pytest.raises(StructureError):
        train(tiny_image_config(network="3C3-MP4-MP4-VOTE2"), digits, store, run, progress=False)
    with pytest.raises(ConfigError, match="event_drop: not applicable"):
        train(tiny_image_config(event_drop=0.5), digits, store, run, progress=False)
    with pytest.raises(DataError):
        train(tiny_image_config(train_samples=11), digits, store, run, progress=False)
    assert not run.exists()


def test_a_stopped_run_is_neither_lost_nor_continued_as_another(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    config = tiny_image_config(epochs=1)
    (run / CONFIG_FILE).write_text(config.model_dump_json())
    digits, store = load_dataset("digits"), Store(tmp_path / "store")
    with pytest.raises(ConfigError, match="--resume"):
        train(config, digits, store, run, progress=False)
    with pytest.raises(ConfigError, match="different learning_rate"):
        train(tiny_image_config(epochs=1, learning_rate=1.0), digits, store, run, resume=True, progress=False)
    with pytest.raises(ConfigError, match="no stopped run"):
        train(config, digits, store, tmp_path / "elsewhere", resume=True, progress=False)
