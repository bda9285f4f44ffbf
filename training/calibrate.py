"""A published version with leads for `exit=confident` on its card, as a new version."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from contract.calibration import Calibration, ConformalRule, GapRule, Rule
from contract.card import Card, EventEncoder
from contract.early_exit import lossless_leads
from contract.store import Store
from training.data import Dataset, Samples, divide
from training.errors import ConfigError
from training.export.calibration import conformal_leads, gap_leads
from training.export.checkpoint import publish_again
from training.export.evaluate import run_batches
from training.export.event_form import load_fastest
from training.export.provenance import provenance
from training.learning.time_bins import TRAIN_PART, in_bins, load_again, shuffled


def calibrate(
    card: Card, checkpoint: Path, data_dir: Path | None, *, eps: float, alpha: float, rule: Rule = "gap"
) -> Card:
    """The card with a calibration for `exit=confident`, found on samples of the training side that chose the epoch.

    Without such samples it is found on those that the model was trained on, and says so. Raises `ConfigError` where the
    data does not fit the model, or for an `eps` or `alpha` that is not between 0 and 1.
    """
    for option, share in (("--eps", eps), ("--alpha", alpha)):
        if not 0 < share < 1:
            raise ConfigError(f"{option}: must be between 0 and 1")
    samples, is_held_out = load_calibration_part(card, data_dir)
    batches = run_batches(load_fastest(checkpoint), samples)
    votes = np.concatenate([scores.transpose(0, 1).numpy() for _, (scores, _, _) in batches]).astype(np.int64)
    labels = samples.labels.numpy()
    lossless = lossless_leads(card.timesteps, card.voters)
    found = Calibration(
        measured_on="validation" if is_held_out else "train",
        samples=len(labels),
        rule=rule,
        gap=GapRule(eps=eps, leads=gap_leads(votes, labels, eps, lossless)),
        conformal=ConformalRule(alpha=alpha, leads=conformal_leads(votes, labels, alpha, lossless)),
    )
    return card.model_copy(update={"calibration": found})


def load_calibration_part(card: Card, data_dir: Path | None) -> tuple[Samples, bool]:
    """The samples of `calibration_part` from the data that the model was trained with; `ConfigError` for other data."""
    dataset = load_again(card, data_dir, every_event=False)
    if (dataset.labels, dataset.input) != (card.labels, card.input):
        raise ConfigError(f"{dataset.name} in this folder has other classes or inputs than {card.name} was trained on")
    return calibration_part(dataset, card)


def calibration_part(dataset: Dataset, card: Card) -> tuple[Samples, bool]:
    """The samples that chose the epoch of a model, or those that it was trained on if there were none; and which.

    They are found again as its training found them, so no sample of the test part is among them.
    """
    learning, train = card.learning, dataset.train
    if learning.validation_fraction is None:
        raise ConfigError(f"the card of {card.name} does not say which samples were put aside for validation")
    if learning.shuffled_bins:
        assert isinstance(card.encoder, EventEncoder)
        train = shuffled(in_bins(train, card.input, card.encoder), learning.seed, TRAIN_PART)
    trained, held_out = divide(
        train.labels,
        count=learning.train_samples,
        validation_fraction=learning.validation_fraction,
        seed=learning.seed,
    )
    return (train.subset(held_out), True) if len(held_out) else (train.subset(trained), False)


def publish_calibrated(store: Store, label: str, card: Card, checkpoint: Path) -> int:
    """Publish the network at `checkpoint`, that of `label`, with a calibrated card as its model's next version."""
    name = label.rpartition("/")[0]
    made = {"created_at": datetime.now(UTC), "parent": label, "provenance": provenance()}
    return publish_again(store, name, card.model_copy(update=made), checkpoint)


def calibration_report(card: Card) -> Iterator[str]:
    """What was found, as lines of text."""
    found = card.calibration
    assert found is not None
    lossless = lossless_leads(card.timesteps, card.voters)
    yield f"calibrated on {found.samples:,} samples of the {found.measured_on} part"
    yield f"exit=confident follows the {found.rule} rule"
    yield "least lead after each time step, in votes:"
    rules = (
        ("lossless", lossless),
        (f"gap, eps {found.gap.eps:g}", found.gap.leads),
        (f"conformal, alpha {found.conformal.alpha:g}", found.conformal.leads),
    )
    for name, leads in rules:
        yield f"  {name:24}{' '.join(f'{lead:4}' for lead in leads)}"
    if found.conformal.leads == lossless:
        yield "there are too few samples for this alpha, so the conformal rule is the lossless one"
