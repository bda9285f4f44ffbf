"""`EventNetwork`: a network in the library's memory, run by its spikes."""

import ctypes
import weakref
from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.card import Card, ImageEncoder
from event_engine.library import Batch, Description, Library, Synapses, find_library
from event_engine.plan import ConvStage, FullStage, PoolStage, ResidualStage, Stage, Weights, make_plan
from event_engine.plan import Synapses as Planned

Leads = Sequence[int] | None

_POISSON, _DIRECT, _BINARY_BINS, _COUNTED_BINS = range(4)  # as in native/interface.h


class Counts(NamedTuple):
    """What a network did with B samples, by time step.

    `scores` int64 `[B, T, K]`, `spikes` and `synops` int64 `[B, T, L]` with a column for each layer, and `input` int64
    `[B]`: how many values of the encoded input are not zero. `used` int64 `[B]`: the time steps that each sample took;
    the other counts are zero in later ones. `fired` bool `[B, T, neurons]`, where asked for: which neurons fired, layer
    after layer, those of a layer as its `state_shapes`.
    """

    scores: NDArray[np.int64]
    spikes: NDArray[np.int64]
    synops: NDArray[np.int64]
    input: NDArray[np.int64]
    used: NDArray[np.int64]
    fired: NDArray[np.bool_] | None = None


class EventNetwork:
    """The network of `card` with the tensors of its archive, by name.

    Every number is the one that the archive's own network gives, alone and in any batch, on any number of threads.
    Several threads may use it at the same time. Raises `Unsuitable` for a network that cannot be run so.
    """

    def __init__(self, card: Card, weights: Weights, library: Library | None = None) -> None:
        self._library = library or find_library()
        self.timesteps = card.timesteps
        self.input_shape = card.input.shape
        self.classes = len(card.labels)
        plan = make_plan(card, weights)
        self._network = ctypes.c_void_p()
        description = Description(*card.input.shape, card.timesteps, *_coding(card), self.classes, card.voters)
        self._library.call("snn_new", description, self._network)
        self._release = weakref.finalize(self, self._library.free, self._network)
        self.state_shapes: list[tuple[int, ...]] = []
        """Of the potentials of each layer, `(C, H, W)` or `(N,)`; the library has its own order for them."""
        for stage in plan:
            self._add(stage, card.neuron.tau)
        self.neurons = self._library.neurons(self._network)
        """How many potentials a sample has."""
        assert self.neurons == sum(map(prod, self.state_shapes))
        self.memory_bytes = self._library.memory_bytes(self._network)
        """Bytes of the weights, thresholds and biases, which the library packs for its vectors."""

    @property
    def layers(self) -> int:
        """How many layers of neurons there are."""
        return len(self.state_shapes)

    def run_images(
        self,
        pixels: NDArray[np.uint8],
        seeds: NDArray[np.int64],
        *,
        leads: Leads = None,
        raster: bool = False,
        threads: int = 1,
    ) -> Counts:
        """All time steps of images uint8 `[B, C, H, W]` with a seed each, int64 `[B]`.

        With `leads`, one for each time step, a sample ends after the first step at which its leading class has as many
        more votes than the second. With `raster`, the counts say which neurons `fired`.
        """
        return self._images(pixels, seeds, None, None, self.timesteps, threads, leads, raster)

    def step_images(
        self,
        pixels: NDArray[np.uint8],
        seeds: NDArray[np.int64],
        moments: NDArray[np.int64],
        potentials: NDArray[np.float32],
        *,
        threads: int = 1,
    ) -> Counts:
        """One time step of each image, that of its moment; `potentials` `[B, neurons]` are advanced in place."""
        return self._images(pixels, seeds, np.ascontiguousarray(moments, np.int64), potentials, 1, threads)

    def run_events(
        self,
        recordings: Sequence[NDArray[np.int64]],
        *,
        leads: Leads = None,
        raster: bool = False,
        threads: int = 1,
    ) -> Counts:
        """All time steps of recordings int64 `[N, 4]`, columns t (µs), x, y, p; the others as in `run_images`.

        Raises `ValueError` for an event outside of the sensor.
        """
        return self._events(recordings, None, self.timesteps, threads, leads, raster)

    def step_events(
        self, recordings: Sequence[NDArray[np.int64]], potentials: NDArray[np.float32], *, threads: int = 1
    ) -> Counts:
        """One time step of each recording, which holds its events; `potentials` as in `step_images`."""
        return self._events(recordings, potentials, 1, threads)

    def forward(self, x: NDArray[np.float32], *, threads: int = 1) -> Counts:
        """All time steps of network input float32 `[T, B, C, H, W]`, as the archive's encoder gives it."""
        if x.ndim != 5 or x.shape[2:] != self.input_shape:
            raise ValueError("the input does not have the model's channels, height and width")
        x = np.ascontiguousarray(x, np.float32)
        batch, counts = self._batch(x.shape[1], x.shape[0], None, threads)
        self._library.call("snn_run_frames", self._network, x.ctypes.data, x.size, x.shape[0], batch)
        return counts

    def _images(
        self,
        pixels: NDArray[np.uint8],
        seeds: NDArray[np.int64],
        moments: NDArray[np.int64] | None,
        potentials: NDArray[np.float32] | None,
        steps: int,
        threads: int,
        leads: Leads = None,
        raster: bool = False,
    ) -> Counts:
        samples = len(pixels)
        if pixels.dtype != np.uint8 or pixels.shape != (samples, *self.input_shape):
            raise ValueError("the images do not have the model's channels, height and width")
        if seeds.shape != (samples,) or (moments is not None and moments.shape != (samples,)):
            raise ValueError("there is not one seed and one moment for each image")
        pixels, seeds = np.ascontiguousarray(pixels), np.ascontiguousarray(seeds, np.int64)
        batch, counts = self._batch(samples, steps, potentials, threads, leads, raster)
        at = None if moments is None else moments.ctypes.data
        self._library.call(
            "snn_run_images", self._network, pixels.ctypes.data, pixels.size, seeds.ctypes.data, at, batch
        )
        return counts

    def _events(
        self,
        recordings: Sequence[NDArray[np.int64]],
        potentials: NDArray[np.float32] | None,
        steps: int,
        threads: int,
        leads: Leads = None,
        raster: bool = False,
    ) -> Counts:
        held = [np.ascontiguousarray(events, np.int64) for events in recordings]
        if any(events.ndim != 2 or events.shape[1] != 4 for events in held):
            raise ValueError("a recording does not have the columns t, x, y, p")
        addresses = np.array([events.ctypes.data for events in held], np.uintp)
        sizes = np.array([len(events) for events in held], np.int64)
        batch, counts = self._batch(len(held), steps, potentials, threads, leads, raster)
        self._library.call(
            "snn_run_events", self._network, addresses.ctypes.data, sizes.ctypes.data, potentials is not None, batch
        )
        return counts

    def _batch(
        self,
        samples: int,
        steps: int,
        potentials: NDArray[np.float32] | None,
        threads: int,
        leads: Leads = None,
        raster: bool = False,
    ) -> tuple[Batch, Counts]:
        """Room for the results of a batch, and the arguments that name it."""
        if potentials is not None and (
            potentials.shape != (samples, self.neurons)
            or potentials.dtype != np.float32
            or not potentials.flags.c_contiguous
        ):
            raise ValueError("the potentials are not float32 [samples, neurons]")
        rows = samples * steps
        scores, spikes = rows * self.classes, rows * self.layers
        room = (np.empty if leads is None else np.zeros)(scores + 2 * spikes + samples, np.int64)
        starts = (0, scores, scores + spikes, scores + 2 * spikes)
        at = room.ctypes.data
        least = None if leads is None else np.array(leads, np.int64)
        used = np.full(samples, steps, np.int64)
        fired = np.zeros((samples, steps, self.neurons), np.bool_) if raster else None
        batch = Batch(
            samples,
            threads,
            None if potentials is None else potentials.ctypes.data,
            samples * self.neurons,
            *(at + 8 * start for start in starts),
            scores,
            spikes,
            None if least is None else least.ctypes.data,
            None if least is None else used.ctypes.data,
            0 if least is None else least.size,
            0 if least is None else used.size,
            None if fired is None else fired.ctypes.data,
            0 if fired is None else fired.size,
        )
        batch.held = least
        counts = Counts(
            room[:scores].reshape(samples, steps, self.classes),
            room[scores : scores + spikes].reshape(samples, steps, self.layers),
            room[scores + spikes : scores + 2 * spikes].reshape(samples, steps, self.layers),
            room[scores + 2 * spikes :],
            used,
            fired,
        )
        return batch, counts

    def _add(self, stage: Stage, tau: float) -> None:
        match stage:
            case ConvStage(synapses):
                self._library.call("snn_add_conv", self._network, self._pass(synapses, tau))
            case ResidualStage(first, second, shortcut):
                parts = [part and self._pass(part, tau) for part in (first, second, shortcut)]
                self._library.call("snn_add_residual", self._network, *parts)
            case PoolStage(size):
                self._library.call("snn_add_pool", self._network, size)
            case FullStage(synapses):
                self._library.call("snn_add_full", self._network, self._pass(synapses, tau))

    def _pass(self, synapses: Planned, tau: float) -> Synapses:
        self.state_shapes.append(synapses.out_shape)
        bias = synapses.bias
        passed = Synapses(
            len(synapses.weight),
            synapses.weight.shape[-1] if synapses.weight.ndim == 4 else 1,
            synapses.weight.ctypes.data,
            synapses.weight.size,
            None if bias is None else bias.ctypes.data,
            0 if bias is None else bias.size,
            synapses.threshold.ctypes.data,
            synapses.threshold.size,
            synapses.fan_out.ctypes.data,
            synapses.fan_out.size,
            synapses.scale,
            tau,
        )
        passed.held = synapses
        return passed


def _coding(card: Card) -> tuple[int, int]:
    """The library's number of the encoder, and the length of a step in µs (0 where the recording is divided)."""
    if isinstance(card.encoder, ImageEncoder):
        return (_POISSON if card.encoder.coding == "poisson" else _DIRECT), 0
    return (_BINARY_BINS if card.encoder.bin_value == "binary" else _COUNTED_BINS), card.encoder.step_us or 0
