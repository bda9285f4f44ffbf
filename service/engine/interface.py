"""What an engine runs and what it answers: samples in, activities out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.card import Card


@dataclass(frozen=True, slots=True)
class ImageSample:
    """One image: `pixels` uint8 `[C, H, W]` in the model's shape, and the seed of its Poisson draw (0 .. 2^63 - 1)."""

    pixels: NDArray[np.uint8]
    seed: int = 0


@dataclass(frozen=True, slots=True)
class EventSample:
    """One recording: `events` int64 `[N, 4]`, columns t (µs, never falling), x, y, p (0 or 1), inside the sensor."""

    events: NDArray[np.int64]


Sample = ImageSample | EventSample


@dataclass(frozen=True, slots=True)
class Activity:
    """What the network did with one sample, by time step.

    `scores` int64 `[T, K]`: votes of each class; `spikes` int64 `[T, L]`: spikes of each spiking layer; `synops` int64
    `[T, S]`: synaptic operations of each synaptic layer; `input`: values of the encoded input that are not zero.
    """

    scores: NDArray[np.int64]
    spikes: NDArray[np.int64]
    synops: NDArray[np.int64]
    input: int


class CheckpointError(Exception):
    """A checkpoint that cannot be loaded; the message says why, without a path."""


def blank_sample(card: Card) -> Sample:
    """The plainest sample that the network takes."""
    if card.input.kind == "image":
        return ImageSample(np.zeros(card.input.shape, dtype=np.uint8))
    return EventSample(np.zeros((1, 4), dtype=np.int64))
