"""The statistics of a version's inputs, and the temperature of its probabilities, measured on held-out samples."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from contract.card import Card
from contract.reference import Confidence, Interval, Reference
from training.data import Bins, Images, Samples
from training.data.batches import ordered_batches
from training.data.bins import network_input

MAX_SAMPLES = 2000
TEMPERATURES = np.geomspace(0.01, 2, 200)
ERROR_BINS = 15

Floats = NDArray[np.float64]


@torch.inference_mode()
def reference_of(
    module: torch.nn.Module, samples: Samples, card: Card, measured_on: Literal["validation", "train"] = "validation"
) -> Reference:
    """The reference of the scripted `module`, over at most `MAX_SAMPLES` of the samples, spread evenly."""
    chosen = np.linspace(0, len(samples) - 1, min(len(samples), MAX_SAMPLES)).astype(np.int64)
    bright, lit, fed, first, votes, labels = [], [], [], [], [], []
    encoder: Any = module
    for inputs, own in ordered_batches(samples.subset(torch.from_numpy(chosen)), 50):
        if isinstance(samples, Images):
            x = encoder.encode_image(inputs, torch.zeros(len(own), dtype=torch.int64))
            bright.append((inputs >= 128).double().mean((1, 2, 3)).numpy())
            lit.append((inputs > 0).double().mean((1, 2, 3)).numpy())
        else:
            x = network_input(inputs) if isinstance(samples, Bins) else encoder.encode_events(inputs, len(own))
        scores, spikes, _ = module(x)
        fed.append((x != 0).sum((0, 2, 3, 4)).numpy())
        first.append(spikes[..., 0].sum(0).numpy())
        votes.append(scores.sum(0).numpy())
        labels.append(own.numpy())
    rates = np.concatenate(votes).astype(np.float64) / (card.timesteps * card.voters)
    return Reference(
        measured_on=measured_on,
        samples=len(chosen),
        bright=_interval(bright) if bright else None,
        lit=_interval(lit) if lit else None,
        input=_interval(fed),
        first_layer=_interval(first),
        confidence=confidence_of(rates, np.concatenate(labels)),
    )


def confidence_of(scores: Floats, labels: NDArray[np.int64]) -> Confidence:
    """The temperature with the least cross-entropy on every second sample, and its errors on the others.

    `scores` `[N, K]` are firing rates, `labels` `[N]` the right classes. Of n samples that are all right, the best
    temperature would be 0: certainty. So the right class has a target of (n + 1) / (n + 2) instead of 1, and the others
    together the rest (Platt, 1999).
    """
    fitted, tested = (slice(0, None, 2), slice(1, None, 2)) if len(labels) > 1 else (slice(None), slice(None))
    losses = [_loss(probabilities(scores[fitted], t), labels[fitted]) for t in TEMPERATURES]
    temperature = float(TEMPERATURES[int(np.argmin(losses))])
    return Confidence(
        temperature=temperature,
        calibration_error=calibration_error(probabilities(scores[tested], temperature), labels[tested]),
        uncalibrated_error=calibration_error(scores[tested], labels[tested]),
    )


def probabilities(scores: Floats, temperature: float) -> Floats:
    """The softmax of `scores / temperature` over the classes."""
    raised: Floats = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    shares: Floats = raised / raised.sum(axis=1, keepdims=True)
    return shares


def calibration_error(confidence: Floats, labels: NDArray[np.int64]) -> float:
    """The mean distance of confidence and accuracy, over equal bins of the confidence in the chosen class."""
    chosen = confidence.argmax(axis=1)
    sure, right = confidence.max(axis=1).clip(0, 1), chosen == labels
    bins = np.minimum((sure * ERROR_BINS).astype(np.int64), ERROR_BINS - 1)
    gaps = [abs(float((sure[bins == k] - right[bins == k]).sum())) for k in range(ERROR_BINS)]
    return sum(gaps) / len(labels)


def _loss(confidence: Floats, labels: NDArray[np.int64]) -> float:
    right = confidence[np.arange(len(labels)), labels].clip(1e-12, 1 - 1e-12)
    target = (len(labels) + 1) / (len(labels) + 2)
    return -float((target * np.log(right) + (1 - target) * np.log1p(-right)).mean())


def _interval(values: list[NDArray[Any]]) -> Interval:
    found = np.concatenate(values)
    return Interval(low=float(found.min()), median=float(np.median(found)), high=float(found.max()))
