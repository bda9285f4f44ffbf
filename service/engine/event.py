"""`EventEngine`: a network that is run by its spikes, on the CPU."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.card import Card
from event_engine.network import Counts, EventNetwork
from service.engine.device import CPU
from service.engine.interface import Activity, Choice, EventSample, ImageSample, Sample, State, activities_of


class EventEngine:
    """An `Engine` over `event_engine`, which splits large batches over `threads`."""

    choice = Choice("event")
    device = CPU

    def __init__(self, card: Card, network: EventNetwork, *, threads: int = 1) -> None:
        self.card = card
        self.memory_bytes = network.memory_bytes
        self._network = network
        self._threads = threads

    def run(
        self, samples: Sequence[Sample], leads: Sequence[int] | None = None, *, raster: bool = False
    ) -> list[Activity]:
        """Run `samples` as one batch; see `Engine.run`."""
        network, threads = self._network, self._threads
        if images := _images(samples):
            return _activities(network.run_images(*_stack(images), leads=leads, raster=raster, threads=threads))
        return _activities(network.run_events(_recordings(samples), leads=leads, raster=raster, threads=threads))

    def initial_state(self) -> State:
        """Every potential at rest; see `Engine.initial_state`."""
        return State(0, (np.zeros(self._network.neurons, np.float32),))

    def step(self, samples: Sequence[Sample], states: Sequence[State]) -> list[tuple[Activity, State]]:
        """Advance live inputs by one time step; see `Engine.step`.

        Poisson coding draws a frame as time step `state.steps` modulo T of an image with its seed.
        """
        potentials = np.stack([state.potentials[0] for state in states])
        if images := _images(samples):
            moments = np.array([state.steps % self.card.timesteps for state in states], np.int64)
            counts = self._network.step_images(*_stack(images), moments, potentials, threads=self._threads)
        else:
            counts = self._network.step_events(_recordings(samples), potentials, threads=self._threads)
        # A copy of each row, so that an idle input does not keep the potentials of its whole batch in memory.
        after = [State(state.steps + 1, (row.copy(),)) for state, row in zip(states, potentials, strict=True)]
        return list(zip(_activities(counts), after, strict=True))


def _images(samples: Sequence[Sample]) -> list[ImageSample]:
    """The samples if they are images, none if they are recordings."""
    images = [sample for sample in samples if isinstance(sample, ImageSample)]
    if len(images) not in (0, len(samples)):
        raise ValueError("a batch holds images or recordings, not both")
    return images


def _recordings(samples: Sequence[Sample]) -> list[NDArray[np.int64]]:
    return [sample.events for sample in samples if isinstance(sample, EventSample)]


def _stack(images: Sequence[ImageSample]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    pixels = np.stack([image.pixels for image in images])
    return pixels, np.array([image.seed for image in images], np.int64)


def _activities(counts: Counts) -> list[Activity]:
    fed, used = counts.input.tolist(), counts.used.tolist()
    return activities_of(counts.scores, counts.spikes, counts.synops, fed, used, counts.fired)
