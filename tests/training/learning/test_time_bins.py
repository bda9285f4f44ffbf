from pathlib import Path

import numpy as np
import pytest
import torch

from contract.card import EventEncoder, read_card
from contract.store import STATE_FILE, Store
from tests.tiny import SENSOR, tiny_event_config, tiny_events_dataset, tiny_image_config
from training.__main__ import main
from training.data import Bins, Dataset, EventOptions, Recordings
from training.data.augment import flip_events, flip_images, shift_bins, shift_events
from training.data.batches import make_batch
from training.errors import ConfigError
from training.export.checkpoint import load_scripted
from training.export.evaluate import evaluate
from training.learning.config import TrainingConfig
from training.learning.time_bins import as_tested, data_settings, in_bins, load_again, load_for, prepared
from training.learning.train import train
from training.noise.kinds import parse_noise
from training.noise.samples import noisy_samples
from training.snn.encode import EventInput


def encoder_of(config: TrainingConfig) -> EventEncoder:
    encoder = config.encoder(SENSOR)
    assert isinstance(encoder, EventEncoder)
    return encoder


def trained(config: TrainingConfig, root: Path, dataset: Dataset | None = None) -> bytes:
    """The weights and thresholds after training, as they are published."""
    train(config, dataset or tiny_events_dataset(), Store(root / "store"), root / "run", progress=False)
    return (root / "store" / "tiny-events" / "1" / STATE_FILE).read_bytes()


def test_bins_in_memory_train_the_same_weights_as_events(tmp_path: Path) -> None:
    fields = {"epochs": 1, "bin_value": "count", "flip": True}
    events = trained(tiny_event_config(**fields), tmp_path / "events")
    bins = trained(tiny_event_config(**fields, storage="bins"), tmp_path / "bins")
    assert events == bins


def test_bins_move_as_their_events_do() -> None:
    """As long as the first event stays, from which time is counted."""
    encoder = encoder_of(tiny_event_config())
    recordings = tiny_events_dataset().train
    assert isinstance(recordings, Recordings)
    first = np.array([[0, 3, 4, 0]])  # in the middle, where no shift loses it
    held = Recordings.join((np.concatenate([first, recordings[index]]) for index in range(20)), [0] * 20)
    rows, _ = make_batch(held, torch.arange(20))
    bins, _ = make_batch(in_bins(held, SENSOR, encoder), torch.arange(20))
    torch.manual_seed(5)
    moved = shift_events(flip_events(rows, 20, 8), 20, 3, 8, 8)
    torch.manual_seed(5)
    frames = shift_bins(flip_images(bins.flatten(1, 2)), 3).view_as(bins)
    assert torch.equal(EventInput(SENSOR, encoder).events(moved, 20).transpose(0, 1), frames.float())
    assert not torch.equal(bins, frames)


def test_the_control_is_trained_and_measured_with_shuffled_bins(tmp_path: Path) -> None:
    config, dataset = tiny_event_config(shuffled_bins=True, epochs=1), tiny_events_dataset()
    published = train(config, dataset, Store(tmp_path / "store"), tmp_path / "run", progress=False)
    card, module = published.card, load_scripted(Store(tmp_path / "store").checkpoint_path("tiny-events", 1))
    shuffled = evaluate(module, as_tested(dataset.test, card))
    assert float(shuffled.spikes.sum()) == pytest.approx(card.metrics.spikes_per_sample)
    assert float(evaluate(module, dataset.test).spikes.sum()) != pytest.approx(card.metrics.spikes_per_sample)
    assert card.learning.shuffled_bins
    assert card.learning.storage == "bins"
    ready = prepared(dataset, config)
    for part, whole in ((ready.train, dataset.train), (ready.test, dataset.test)):
        assert isinstance(part, Bins)
        assert torch.equal(part.unpack().sum(1), in_bins(whole, SENSOR, encoder_of(config)).unpack().sum(1))


def test_a_model_that_is_no_control_is_measured_as_it_is(tiny_store_root: Path) -> None:
    published = Store(tiny_store_root).checkpoint_path("tiny-events", 1)
    test = tiny_events_dataset().test
    assert as_tested(test, read_card(published)) is test


def test_noise_on_events_needs_every_event() -> None:
    dataset = prepared(tiny_events_dataset(), tiny_event_config(storage="bins"))
    with pytest.raises(ConfigError, match="noise drop needs every event"):
        noisy_samples(dataset.test, parse_noise("drop=0.5", 0), (2, 8, 8))


@pytest.mark.parametrize("field", [{"storage": "bins"}, {"shuffled_bins": True}, {"downsample": 2}])
def test_images_have_no_bins(field: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ((name, value),) = field.items()
    option = [f"--{name.replace('_', '-')}", str(value)]
    assert main(["train", "--preset", "digits-stl", *option, "--store", str(tmp_path), "--run-dir", str(tmp_path)]) == 2
    assert f"{name}: not applicable" in capsys.readouterr().err


def test_configurations_share_data_that_is_the_same_for_them() -> None:
    same = [tiny_event_config(seed=seed, timesteps=3 + seed, mode=mode) for seed, mode in ((0, "sl"), (1, "stl"))]
    assert data_settings(same[0]) == data_settings(same[1])
    bins = [tiny_event_config(storage="bins", timesteps=steps) for steps in (3, 3, 4)]
    assert data_settings(bins[0]) == data_settings(bins[1]) != data_settings(bins[2])
    assert data_settings(same[0]) != data_settings(tiny_image_config())


def test_a_data_set_is_loaded_as_bins_unless_every_event_is_needed(
    tiny_store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[EventOptions] = []

    def load_dataset(name: str, data_dir: Path | None, *, events: EventOptions, **_: object) -> Dataset:
        asked.append(events)
        return tiny_events_dataset()

    monkeypatch.setattr("training.learning.time_bins.load_dataset", load_dataset)
    card = read_card(Store(tiny_store_root).checkpoint_path("tiny-events", 1))
    config = tiny_event_config(storage="bins", downsample=2)
    load_again(card, None, every_event=False)
    load_again(card, None, every_event=True)
    load_for(config, None)
    load_for(config, None, every_event=True)
    load_for(tiny_event_config(), None)
    assert [options.downsample for options in asked] == [1, 1, 2, 2, 1]
    shapes = [options.binning and options.binning(SENSOR).shape for options in asked]
    assert shapes == [(5, 2, 8, 8), None, (5, 2, 8, 8), None, None]
