"""`EventEngine`: a network that is run by its spikes, on the CPU."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from contract.card import Card
from event_engine.network import Counts, EventNetwork
from service.engine.interface import Activity, Choice, EventSample, ImageSample, Sample, State, activities_of


class EventEngine:
    """An `Engine` over `event_engine`. Batches are split over as many threads as torch would use."""

    choice = Choice("event")
    device = torch.device("cpu")

    def __init__(self, card: Card, network: EventNetwork) -> None:
        self.card = card
        self.memory_bytes = network.memory_bytes
        self._network = network

    def run(self, samples: Sequence[Sample], leads: Sequence[int] | None = None) -> list[Activity]:
        """Run `samples` as one batch; see `Engine.run`."""
        threads = torch.get_num_threads()
        if images := _images(samples):
            return _activities(self._network.run_images(*_stack(images), leads=leads, threads=threads))
        return _activities(self._network.run_events(_recordings(samples), leads=leads, threads=threads))

    def initial_state(self) -> State:
        """Every potential at rest; see `Engine.initial_state`."""
        return State(0, tuple(torch.zeros(1, *shape) for shape in self._network.state_shapes))

    def step(self, samples: Sequence[Sample], states: Sequence[State]) -> list[tuple[Activity, State]]:
        """Advance live inputs by one time step; see `Engine.step`.

        Poisson coding draws a frame as time step `state.steps` modulo T of an image with its seed.
        """
        potentials = np.stack([np.concatenate([each.numpy().ravel() for each in state.potentials]) for state in states])
        threads = torch.get_num_threads()
        if images := _images(samples):
            moments = np.array([state.steps % self.card.timesteps for state in states], np.int64)
            counts = self._network.step_images(*_stack(images), moments, potentials, threads=threads)
        else:
            counts = self._network.step_events(_recordings(samples), potentials, threads=threads)
        after = [State(state.steps + 1, self._tensors(row)) for state, row in zip(states, potentials, strict=True)]
        return list(zip(_activities(counts), after, strict=True))

    def _tensors(self, potentials: NDArray[np.float32]) -> tuple[torch.Tensor, ...]:
        """A sample's potentials as one tensor for each layer, each with memory of its own."""
        shapes = self._network.state_shapes
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
        parts = np.split(potentials, ends[:-1])
        return tuple(torch.from_numpy(part.copy()).view(1, *shape) for part, shape in zip(parts, shapes, strict=True))


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
    return activities_of(counts.scores, counts.spikes, counts.synops, counts.input.tolist(), counts.used.tolist())
