"""`Engine`, the interface that runs networks: samples in, activities out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from contract.card import Card
from service.engine.device import Device


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
class Totals:
    """The sums of an activity over its time steps.

    `votes` for each class; `ranking`, the classes by their votes, of equal ones the lower id first; `spikes` and
    `synops` for each layer.
    """

    votes: list[int]
    ranking: list[int]
    spikes: list[int]
    synops: list[int]


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes for each class in one decision, which could be at most `most`: time steps times voting neurons."""

    votes: list[int]
    most: int


@dataclass(frozen=True, slots=True)
class Activity:
    """A network's activity on one sample, by time step.

    `scores` int64 `[T, K]`: votes for each class; `spikes` int64 `[T, L]`: spikes of each spiking layer; `synops` int64
    `[T, S]`: synaptic operations of each synaptic layer; `input`: number of non-zero values in the encoded input. T are
    the time steps that were run: all of them, unless the sample ended early. `decisions` are those of a group's
    members; a single network has none beside `totals`. `fired` bool `[T, N]`, where asked for: which neurons fired, the
    spiking layers one after the other, each `(C, H, W)` or `(N,)` in a row.
    """

    scores: NDArray[np.int64]
    spikes: NDArray[np.int64]
    synops: NDArray[np.int64]
    input: int
    totals: Totals
    decisions: tuple[Votes, ...] = ()
    fired: NDArray[np.bool_] | None = None


def activities_of(
    scores: NDArray[np.int64],
    spikes: NDArray[np.int64],
    synops: NDArray[np.int64],
    fed: Iterable[int],
    used: Iterable[int] | None = None,
    fired: NDArray[np.bool_] | None = None,
) -> list[Activity]:
    """The activity of each sample of a batch, from arrays `[B, T, ...]`; all samples are summed at once.

    `used` are the time steps of each sample, by default all; the arrays are zero in later ones.
    """
    votes = scores.sum(axis=1)
    ranking = np.argsort(-votes, axis=1, kind="stable")
    sums = (each.tolist() for each in (votes, ranking, spikes.sum(axis=1), synops.sum(axis=1)))
    totals = [Totals(*row) for row in zip(*sums, strict=True)]
    taken = [scores.shape[1]] * len(scores) if used is None else used
    rows = zip(scores, spikes, synops, fed, totals, taken, strict=True)
    activities = [Activity(a[:steps], b[:steps], c[:steps], number, total) for a, b, c, number, total, steps in rows]
    return activities if fired is None else with_fired(activities, fired)


def with_fired(activities: Iterable[Activity], fired: NDArray[np.bool_]) -> list[Activity]:
    """The activities with the neurons that fired in their time steps, from an array `[B, T, N]`."""
    return [replace(each, fired=row[: len(each.scores)]) for each, row in zip(activities, fired, strict=True)]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which engine runs a version, and where it is not the event engine, the reason."""

    name: Literal["event", "torchscript", "torchserve", "group"]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The state of one live input between two time steps.

    `steps` counts the time steps so far. `potentials` are the membrane potentials, arrays or tensors on the engine's
    device; they belong to the engine that made them, and callers only pass them back.
    """

    steps: int
    potentials: tuple[Any, ...]

    @property
    def memory_bytes(self) -> int:
        """Bytes that the potentials occupy on the device."""
        return sum(potential.nbytes for potential in self.potentials)


class Engine(Protocol):
    """Runs one network on one device.

    Every call blocks, so it belongs off the event loop, and one thread at a time may make it. A sample gives the same
    numbers alone and in any batch.
    """

    @property
    def card(self) -> Card:
        """The card of the network."""

    @property
    def choice(self) -> Choice:
        """Which engine this is, and why."""

    @property
    def device(self) -> Device:
        """Where the network's weights are in this process."""

    @property
    def memory_bytes(self) -> int:
        """Bytes of the weights on that device; the activations of a batch come on top."""

    def run(
        self, samples: Sequence[Sample], leads: Sequence[int] | None = None, *, raster: bool = False
    ) -> list[Activity]:
        """Run whole samples as one batch; an activity of all T time steps each.

        With `leads`, one for each time step, a sample ends after the first step at which its decision leads by as much
        (`contract.early_exit`), and its activity is that of these steps. With `raster`, it says which neurons fired;
        `InvalidParameter` for a network that does not show them. Raises `ModelError` if the network gives a number
        that is not finite or not a count.
        """

    def initial_state(self) -> State:
        """The state of a live input before its first time step: every potential at rest."""

    def step(self, samples: Sequence[Sample], states: Sequence[State]) -> list[tuple[Activity, State]]:
        """Advance live inputs by one time step as one batch, each from its own state.

        A sample is the input of this time step alone: the frame, or the events of the step, of which there may be none
        and whose times are not read. Returns an activity of one time step and the next state for each; the state passed
        in stays valid. T calls give the numbers of `run`.
        """


def blank_sample(card: Card) -> Sample:
    """The simplest sample that the network accepts."""
    if card.input.kind == "image":
        return ImageSample(np.zeros(card.input.shape, dtype=np.uint8))
    return EventSample(np.zeros((1, 4), dtype=np.int64))
