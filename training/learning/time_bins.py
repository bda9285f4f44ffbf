"""Event recordings in time bins before training: less memory, and the control with shuffled bins."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from contract.card import Card, Encoder, EventEncoder, InputSpec
from training.data import Binning, Bins, Dataset, EventOptions, Recordings, Samples, load_dataset
from training.learning.config import TrainingConfig
from training.snn.encode import EventInput

TRAIN_PART, TEST_PART = 0, 1


def data_settings(config: TrainingConfig) -> TrainingConfig:
    """A configuration that loads the same data, and is equal for all configurations that do."""
    fields = {"dataset", "image_shape", "downsample"}
    if config.holds_bins:
        fields |= {"storage", "shuffled_bins", "binning", "step_us", "bin_value", "timesteps"}
    return TrainingConfig(name="data", network="VOTE1", **config.model_dump(include=fields))


def load_for(
    config: TrainingConfig, data_dir: Path | None, *, every_event: bool = False, download: bool = True
) -> Dataset:
    """The data set of a training run, of recordings the bins if the run holds bins, unless `every_event` is needed.

    Raises the errors of `load_dataset`, and `ConfigError` where configuration and data do not fit.
    """
    encoder_for = config.encoder if config.holds_bins and not every_event else None
    events = _event_options(config.downsample, encoder_for)
    return load_dataset(config.dataset, data_dir, image_shape=config.image_shape, events=events, download=download)


def prepared(dataset: Dataset, config: TrainingConfig) -> Dataset:
    """The data set as the run takes it: recordings in bins if it holds bins, shuffled in the control."""
    encoder = config.encoder(dataset.input)
    if not isinstance(encoder, EventEncoder) or not config.holds_bins:
        return dataset
    train, test = (in_bins(part, dataset.input, encoder) for part in (dataset.train, dataset.test))
    if config.shuffled_bins:
        train, test = shuffled(train, config.seed, TRAIN_PART), shuffled(test, config.seed, TEST_PART)
    return replace(dataset, train=train, test=test)


def load_again(card: Card, data_dir: Path | None, *, every_event: bool) -> Dataset:
    """The data set that a model was trained on; of recordings, the bins, or `every_event`, which noise may need."""
    events = _event_options(card.learning.downsample or 1, None if every_event else lambda _: card.encoder)
    return load_dataset(card.learning.dataset, data_dir, image_shape=card.input.shape, events=events)


def _event_options(downsample: int, encoder_for: Callable[[InputSpec], Encoder] | None) -> EventOptions:
    """How recordings are loaded: as the bins of the encoder for their input, or every event without one."""
    if encoder_for is None:
        return EventOptions(downsample, None)

    def binning(spec: InputSpec) -> Binning:
        encoder = encoder_for(spec)
        assert isinstance(encoder, EventEncoder)
        return binning_of(encoder, spec)

    return EventOptions(downsample, binning)


def as_tested(samples: Samples, card: Card) -> Samples:
    """Samples of the test part as the model was trained on them: with their bins shuffled if it is the control."""
    if not card.learning.shuffled_bins:
        return samples
    assert isinstance(card.encoder, EventEncoder)
    return shuffled(in_bins(samples, card.input, card.encoder), card.learning.seed, TEST_PART)


def in_bins(samples: Samples, spec: InputSpec, encoder: EventEncoder) -> Bins:
    """Recordings in the encoder's time bins, which give the network the same input as their events."""
    if isinstance(samples, Bins):
        return samples
    assert isinstance(samples, Recordings)
    events = (samples[index] for index in range(len(samples)))
    return Bins.pack(events, samples.labels.tolist(), binning_of(encoder, spec))


def shuffled(bins: Bins, seed: int, part: int) -> Bins:
    """The control: each recording's bins in an order drawn from the seed, the part and its place in the part.

    A network that does as well with it as without does not use the order of events.
    """
    return bins.shuffled((seed, part))


def binning_of(encoder: EventEncoder, spec: InputSpec) -> Binning:
    """The bins of an encoder, for an input."""
    encode = EventInput(spec, encoder).events
    return Binning(torch.no_grad()(encode), (encoder.timesteps, *spec.shape), encoder.bin_value == "binary")
