"""Published versions on the test part of their data set: with noise, in several draws or parts, one or several."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from contract.card import Card, ImageEncoder
from contract.early_exit import exit_leads
from training.data import Dataset, Recordings, Samples
from training.errors import ConfigError
from training.export.evaluate import Evaluation, evaluate
from training.export.event_form import Form, load_fastest
from training.learning.time_bins import as_tested, load_again
from training.noise.checkpoint import noisy_checkpoint
from training.noise.kinds import Noise
from training.noise.samples import noisy_samples


def measure(
    members: Sequence[tuple[Card, Path]],
    data_dir: Path | None,
    *,
    noise: Noise | None = None,
    draws: int = 1,
    windows: int = 1,
    leads: Sequence[int] | None = None,
) -> tuple[list[tuple[Card, Evaluation]], Tensor]:
    """Evaluate each member in each of `draws` Poisson draws, on each of `windows` equal parts of the recordings.

    `members` are cards with the paths of their checkpoints, trained on the same data. Returns every evaluation with its
    member's card, and the labels int64 `[N]` of the samples. `leads` as in `evaluate`. Raises `ConfigError` where
    members, draws, windows or noise do not fit each other or the data.
    """
    _check(members, draws, windows)
    first = members[0][0]
    changes_events = noise is not None and noise.kind.target == "events"
    dataset = load_again(first, data_dir, every_event=changes_events or windows > 1 or len(members) > 1)
    for card, _ in members:
        if (dataset.labels, dataset.input) != (card.labels, card.input):
            raise ConfigError(
                f"{dataset.name} in this folder has other classes or inputs than {card.name} was trained on"
            )
    found = []
    for card, checkpoint in members:
        module, samples = _with_noise(card, checkpoint, dataset, noise)
        for part in samples.windows(windows) if isinstance(samples, Recordings) else [samples]:
            tested = as_tested(part, card)
            found += [(card, evaluate(module, tested, draw=draw, leads=leads)) for draw in range(draws)]
    return found, dataset.test.labels


def measure_exit(
    card: Card, checkpoint: Path, data_dir: Path | None, *, confident: bool, noise: Noise | None = None
) -> tuple[Evaluation, Evaluation]:
    """Evaluate a version with all time steps, and with an early exit that is `confident` or else lossless.

    Raises `ConfigError` for a confident exit of a model that is not calibrated, and as `measure` does.
    """
    leads = exit_leads(card, confident=confident)
    if leads is None:
        raise ConfigError(f"{card.name} is not calibrated: `python -m training calibrate {card.name}` does that")
    [(_, whole)], _ = measure([(card, checkpoint)], data_dir, noise=noise)
    [(_, ended)], _ = measure([(card, checkpoint)], data_dir, noise=noise, leads=leads)
    return whole, ended


def _check(members: Sequence[tuple[Card, Path]], draws: int, windows: int) -> None:
    for option, count in (("--draws", draws), ("--windows", windows)):
        if count < 1:
            raise ConfigError(f"{option}: must be at least 1")
    first = members[0][0]
    for card, _ in members:
        if card.learning.dataset != first.learning.dataset:
            raise ConfigError(
                f"models that decide jointly must be trained on the same data set, not "
                f"{first.learning.dataset} ({first.name}) and {card.learning.dataset} ({card.name})"
            )
        if draws > 1 and not (isinstance(card.encoder, ImageEncoder) and card.encoder.coding == "poisson"):
            raise ConfigError(f"--draws: {card.name} has no Poisson coding, so all draws would be the same")
        if windows > 1 and card.input.kind != "events":
            raise ConfigError(f"--windows: {card.name} takes images, which have no time")
        if windows > 1 and card.learning.shuffled_bins:
            raise ConfigError(f"--windows: {card.name} was trained on bins in random order")


def _with_noise(card: Card, checkpoint: Path, dataset: Dataset, noise: Noise | None) -> tuple[Form, Samples]:
    if noise is not None and noise.kind.target == "network":
        return noisy_checkpoint(card, checkpoint, noise), dataset.test
    samples = dataset.test if noise is None else noisy_samples(dataset.test, noise, card.input.shape)
    return load_fastest(checkpoint), samples
