"""Probes: samples on which two engines are compared, and the record of what TorchScript answers to them.

They are blank, dense and random, and the same at every load. The record, `probes.json`, is written when a checkpoint is
published. By it a service without torch compares every number of the event engine with those of TorchScript.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.card import Card
from contract.files import replacing

PROBES_FILE = "probes.json"

_EVENTS = 400
_MOST_EVENTS = 100_000
_MOST_VALUES = 5_000_000
_MAX_RECORD_BYTES = 4096

Probe = NDArray[np.uint8] | NDArray[np.int64]
"""An image's pixels uint8 `[C, H, W]`, whose seed is the probe's index, or a recording's events int64 `[N, 4]`."""


class ProbeRecord(BaseModel):
    """SHA-256 of a checkpoint's archive, of the probes, and of all numbers that TorchScript answered to them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    archive: str
    samples: str
    numbers: str


def probes(card: Card) -> list[Probe]:
    """Samples from no activity in the input to as much as there can be; two of them where the input is very large."""
    if card.input.kind == "image":
        blank: Probe = np.zeros(card.input.shape, np.uint8)
        found = _images(card)
    else:
        blank = np.zeros((1, 4), np.int64)
        found = _recordings(card)
    is_large = card.timesteps * prod(card.input.shape) > _MOST_VALUES
    return [blank, *islice(found, 1 if is_large else None)]


def make_record(archive: bytes, samples: Sequence[Probe], numbers: Iterable[NDArray[np.int64]]) -> ProbeRecord:
    """The record of an archive whose network answered `numbers` to `samples`.

    `numbers` are the samples' scores, spikes, synaptic operations and non-zero inputs, int64 `[B, T, ...]` and `[B]`.
    """
    return ProbeRecord(archive=hashlib.sha256(archive).hexdigest(), samples=_digest(samples), numbers=_digest(numbers))


def read_record(checkpoint: Path) -> ProbeRecord | None:
    """The record beside the file of a checkpoint; None if there is none, or none that can be read."""
    try:
        with checkpoint.with_name(PROBES_FILE).open("rb") as file:
            return ProbeRecord.model_validate_json(file.read(_MAX_RECORD_BYTES))
    except (OSError, ValidationError):
        return None


def write_record(checkpoint: Path, record: ProbeRecord) -> None:
    """Put the record beside the file of a checkpoint."""
    with replacing(checkpoint.with_name(PROBES_FILE)) as file:
        file.write(record.model_dump_json(indent=2).encode() + b"\n")


def _digest(arrays: Iterable[NDArray[np.generic]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{little.dtype.str}{little.shape}".encode())
        digest.update(np.ascontiguousarray(little).data)
    return digest.hexdigest()


def _images(card: Card) -> Iterator[Probe]:
    """Random images of two densities, and a white one."""
    rng, shape = np.random.default_rng(0), card.input.shape
    for density in (0.2, 0.9):
        pixels = rng.integers(0, 256, shape, np.uint8)
        pixels[rng.random(shape, np.float32) > density] = 0
        yield pixels
    yield np.full(shape, 255, np.uint8)


def _recordings(card: Card) -> Iterator[Probe]:
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


def _random_recording(rng: np.random.Generator, span: int, card: Card) -> NDArray[np.int64]:
    _, height, width = card.input.shape
    times = np.sort(rng.integers(0, span, _EVENTS))
    return _recording(times, *(rng.integers(0, bound, _EVENTS) for bound in (width, height, 2)))


def _recording(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack(columns, 1).astype(np.int64)
