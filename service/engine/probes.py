"""Samples on which two engines are compared: blank, dense and random ones, the same at every load."""

from collections.abc import Iterator, Sequence
from itertools import islice
from math import prod

import numpy as np
from numpy.typing import NDArray

from contract.card import Card
from service.engine.interface import Activity, EventSample, ImageSample, Sample, blank_sample

_EVENTS = 400
_MOST_EVENTS = 100_000
_MOST_VALUES = 5_000_000


def probes(card: Card) -> list[Sample]:
    """Samples from no activity in the input to as much as there can be; two of them where the input is very large."""
    found = _images(card) if card.input.kind == "image" else _recordings(card)
    is_large = card.timesteps * prod(card.input.shape) > _MOST_VALUES
    return [blank_sample(card), *islice(found, 1 if is_large else None)]


def unlike(found: Sequence[Activity], expected: Sequence[Activity]) -> str | None:
    """Which numbers differ between two engines, or None."""
    for name in ("scores", "spikes", "synops", "input"):
        pairs = zip(found, expected, strict=True)
        if not all(np.array_equal(getattr(one, name), getattr(other, name)) for one, other in pairs):
            return name
    return None


def _images(card: Card) -> Iterator[Sample]:
    """Random images of two densities, and a white one."""
    rng, shape = np.random.default_rng(0), card.input.shape
    for seed, density in enumerate((0.2, 0.9)):
        pixels = rng.integers(0, 256, shape, np.uint8)
        pixels[rng.random(shape, np.float32) > density] = 0
        yield ImageSample(pixels, seed)
    yield ImageSample(np.full(shape, 255, np.uint8))


def _recordings(card: Card) -> Iterator[Sample]:
    """Random recordings, of which the second is longer than all time steps, and one with events everywhere."""
    rng = np.random.default_rng(0)
    channels, height, width = card.input.shape
    span = (getattr(card.encoder, "step_us", None) or 1000) * card.timesteps
    for length in (span, 2 * span):
        yield _random_recording(rng, length, card)
    count = card.timesteps * channels * height * width
    step, channel, y, x = np.unravel_index(
        np.linspace(0, count - 1, min(count, _MOST_EVENTS), dtype=np.int64), (card.timesteps, channels, height, width)
    )
    yield _recording(step * span // card.timesteps, x, y, channel)


def _random_recording(rng: np.random.Generator, span: int, card: Card) -> EventSample:
    _, height, width = card.input.shape
    times = np.sort(rng.integers(0, span, _EVENTS))
    return _recording(times, *(rng.integers(0, bound, _EVENTS) for bound in (width, height, 2)))


def _recording(*columns: NDArray[np.int64]) -> EventSample:
    return EventSample(np.stack(columns, 1).astype(np.int64))
