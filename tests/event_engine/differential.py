"""Random networks and inputs, run by the event engine and by TorchScript: every number has to be the same."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch
from numpy.typing import NDArray

from contract.card import Card, EventEncoder, ImageEncoder, InputSpec, Learning, Metrics, Neuron
from contract.early_exit import lead_of, lossless_leads
from event_engine.library import Library
from event_engine.network import Counts, EventNetwork
from training.export.checkpoint import script
from training.export.provenance import provenance
from training.snn.builder import build_network
from training.snn.encode import build_encoder
from training.snn.network import SpikingNetwork

CLASSES = 3
BATCH_SIZES = (1, 2, 21)
DENSITIES = (0.0, 0.02, 0.3, 1.0)
_WITH_TIES = 0.02
LONG = (33, 70, 130)
"""Numbers of time steps that the library runs in several parts."""


_NEURON = Neuron(tau=0.5, threshold_scope="neuron")


@dataclass(frozen=True, eq=False)
class Case:
    """A random network, as its card and its scripted module."""

    card: Card
    module: torch.jit.ScriptModule

    @property
    def weights(self) -> dict[str, NDArray[np.generic]]:
        """The tensors of the archive."""
        return {name: tensor.numpy() for name, tensor in self.module.state_dict().items()}

    def __str__(self) -> str:
        card = self.card
        scope, tau = card.neuron.threshold_scope, card.neuron.tau
        return f"{card.network} on {card.input.shape}, {card.encoder!r}, tau {tau}, {scope}, bias {card.bias}"


def random_case(seed: int) -> Case:
    """The case of a seed: stages, shapes, coding, time steps, neurons, bias and weights are drawn."""
    rng = random.Random(seed)
    encoder = _encoder(rng)
    size = rng.choice([5, 8, 11, 17])
    channels = rng.choice([1, 2, 3, 40 if size < 10 else 1]) if encoder.kind == "image" else rng.choice([1, 2])
    neuron = Neuron.model_validate(
        {"tau": rng.choice([0.5, 0.9, 0.25, 0.3, 1.0]), "threshold_scope": rng.choice(["neuron", "channel", "layer"])}
    )
    return make_case(
        _structure(rng, size, channels, encoder.timesteps),
        encoder,
        shape=(channels, size, size + rng.choice([0, 3])),
        neuron=neuron,
        bias=rng.random() < 0.8,
        low=rng.choice([-0.05, 0.02, 0.1]),
        seed=seed,
    )


def make_case(
    structure: str,
    encoder: ImageEncoder | EventEncoder,
    *,
    shape: tuple[int, int, int],
    neuron: Neuron = _NEURON,
    bias: bool = True,
    low: float = 0.02,
    seed: int = 0,
) -> Case:
    """A network with fresh weights, whose thresholds lie between `low` and `low + 0.2`."""
    torch.manual_seed(seed)
    channels, height, width = shape
    spec = InputSpec(kind=encoder.kind, channels=channels, height=height, width=width)
    network, layers = build_network(
        structure, spec=spec, encoder=encoder, neuron=neuron, classes=CLASSES, norm="step", bias=bias
    )
    _enliven(network.eval(), low)
    card = Card(
        name="random",
        created_at=datetime.now(UTC),
        labels=tuple(map(str, range(CLASSES))),
        input=spec,
        encoder=encoder,
        neuron=neuron,
        network=structure,
        bias=bias,
        voters=network.voters,
        layers=layers,
        learning=Learning(mode="stl", dataset="none", samples=1, epochs=0, optimizer="none", lr=0, seed=0),
        metrics=Metrics(
            accuracy=0,
            samples=1,
            spikes_per_sample=0,
            firing_rate={},
            synops_per_sample=0,
            accumulates_per_sample=0,
            multiply_accumulates_per_sample=0,
            energy_nj_per_sample=0,
            energy_profile="none",
        ),
        provenance=provenance(),
    )
    return Case(card, script(network, build_encoder(spec, encoder)))


def _encoder(rng: random.Random) -> ImageEncoder | EventEncoder:
    timesteps = rng.choice([1, 3, 4, 5, 10, rng.choice(LONG)])
    kind = rng.choice(["poisson", "direct", "binary", "count"])
    if kind in ("poisson", "direct"):
        return ImageEncoder.model_validate({"coding": kind, "timesteps": timesteps})
    bins = {"binning": "span"} if rng.random() < 0.5 else {"binning": "step", "step_us": rng.choice([1, 7, 1000])}
    return EventEncoder.model_validate({"bin_value": kind, "timesteps": timesteps, **bins})


def _structure(rng: random.Random, size: int, channels: int, timesteps: int) -> str:
    parts: list[str] = []
    for _ in range(rng.choice([0, 1, 1, 2, 2, 3]) if timesteps not in LONG else 1):
        kind = rng.choice(["C", "C", "C", "R", "R same"])
        width = (
            channels if kind == "R same" else rng.choice([3, 16, 17, 32, 33, 70] if timesteps not in LONG else [3, 17])
        )
        parts.append(f"{width}{kind[0]}{rng.choice([1, 3, 3, 5, 7, 9])}")
        channels = width
        if rng.random() < 0.5 and size // (pool := rng.choice([2, 3])) >= 2:
            parts.append(f"MP{pool}")
            size //= pool
    parts += [f"FC{rng.choice([5, 100, 128, 200])}" for _ in range(rng.randint(0, 2))]
    return "-".join([*parts, f"VOTE{rng.choice([1, 3, 50])}"])


def _enliven(network: SpikingNetwork, low: float) -> None:
    """Thresholds that are reached, some of them zero or below, and batch norms with something to fold."""
    for layer in network.spiking_layers().values():
        threshold = torch.nn.init.uniform_(layer.neurons.threshold, low, low + 0.2)
        if low <= _WITH_TIES:  # on a grid, so that potentials reach some of them exactly
            threshold.data = torch.round(threshold.data * 32) / 32
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.3)
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)


def differences(case: Case, seed: int, library: Library | None = None) -> Iterator[str]:
    """What the event engine answers differently, or nothing. Raises `Unsuitable` for a network that it refuses."""
    network = EventNetwork(case.card, case.weights, library)
    rng = np.random.default_rng(seed)
    for size in BATCH_SIZES[: 2 if case.card.timesteps > 32 else 3]:
        density = rng.choice(DENSITIES)
        leads = _leads(case.card, rng)
        with torch.inference_mode():
            if case.card.input.kind == "image":
                pixels, seeds = _images(case.card, size, density, rng)
                x = case.module.encode_image(torch.from_numpy(pixels), torch.from_numpy(seeds))
                found = network.run_images(pixels, seeds, threads=3)
                stepped = _step_images(network, pixels, seeds)
                ended = network.run_images(pixels, seeds, leads=leads, threads=3)
            else:
                recordings = [_recording(case.card, density, rng) for _ in range(size)]
                x = case.module.encode_events(_joined(recordings), size)
                found = network.run_events(recordings, threads=3)
                stepped = _step_events(network, x.numpy())
                ended = network.run_events(recordings, leads=leads, threads=3)
            expected = _expected(case, x)
        for name, counts in (("run", found), ("forward", network.forward(x.numpy())), ("step", stepped)):
            if not _same(counts, expected):
                yield f"{name} of {size} samples, density {density}: {case}"
        if not _same(ended, _expected_until(leads, expected, x)):
            yield f"the steps until {leads} of {size} samples, density {density}: {case}"
        classes, all_classes = (counts.scores.sum(1).argmax(1) for counts in (ended, expected))
        is_lossless = tuple(leads) == lossless_leads(case.card.timesteps, case.card.voters)
        if is_lossless and not np.array_equal(classes, all_classes):
            yield f"the classes after a lossless exit of {size} samples, density {density}: {case}"


def _images(
    card: Card, size: int, density: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    shape = size, *card.input.shape
    pixels = rng.integers(1, 256, shape) * (rng.random(shape) < density)
    return pixels.astype(np.uint8), rng.integers(0, 2**63 - 1, size)


def _recording(card: Card, density: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Events of any span, the shortest a single moment; none at all with density 0."""
    _, height, width = card.input.shape
    count = int(density * 600)
    length = card.encoder.step_us or int(rng.choice([1, 3, 10_000])) if isinstance(card.encoder, EventEncoder) else 1
    times = np.sort(rng.integers(0, max(1, int(length * card.timesteps * rng.choice([0.001, 0.9, 1.3]))), count))
    places = [rng.integers(0, bound, count) for bound in (width, height, 2)]
    if count and rng.random() < 0.3:  # more events in one place than a bin counts
        for place in places:
            place[: count * 9 // 10] = place[0]
    return np.stack([times + int(rng.choice([0, 2**40])), *places], 1).astype(np.int64)


def _joined(recordings: list[NDArray[np.int64]]) -> torch.Tensor:
    index = np.repeat(np.arange(len(recordings)), [len(events) for events in recordings])
    return torch.from_numpy(np.column_stack([index, np.concatenate(recordings)]))


def _expected(case: Case, x: torch.Tensor) -> Counts:
    scores, spikes, synops = (result.numpy().astype(np.int64).swapaxes(0, 1) for result in case.module(x))
    return Counts(scores, spikes, synops, (x != 0).sum((0, 2, 3, 4)).numpy(), np.full(x.shape[1], len(x)))


def _leads(card: Card, rng: np.random.Generator) -> list[int]:
    """Those with which no class changes, or random ones."""
    if rng.random() < 0.5:
        return list(lossless_leads(card.timesteps, card.voters))
    most = max(1, int(card.voters * card.timesteps * rng.choice([0.1, 0.5])))
    return [int(lead) for lead in rng.integers(0, most, card.timesteps)]


def _expected_until(leads: list[int], whole: Counts, x: torch.Tensor) -> Counts:
    """What is left of a whole run if each sample ends at the first of its leads."""
    reached = lead_of(whole.scores.cumsum(1)) >= leads
    reached[:, -1] = True
    used = reached.argmax(1) + 1
    taken = np.arange(len(leads)) < used[:, None]
    fed = ((x != 0).sum((2, 3, 4)).numpy().T * taken).sum(1)
    scores, spikes, synops = (part * taken[..., None] for part in whole[:3])
    return Counts(scores, spikes, synops, fed, used)


def _step_images(network: EventNetwork, pixels: NDArray[np.uint8], seeds: NDArray[np.int64]) -> Counts:
    """All time steps one by one, put together."""
    potentials = np.zeros((len(pixels), network.neurons), np.float32)
    moments = np.zeros(len(pixels), np.int64)
    return _together(
        [network.step_images(pixels, seeds, moments + moment, potentials) for moment in range(network.timesteps)]
    )


def _step_events(network: EventNetwork, x: NDArray[np.float32]) -> Counts:
    """All time steps one by one, each from the events that give its input `x[t]`."""
    potentials = np.zeros((x.shape[1], network.neurons), np.float32)
    return _together([network.step_events([_events_of(each) for each in step], potentials) for step in x])


def _events_of(frame: NDArray[np.float32]) -> NDArray[np.int64]:
    """Events `[N, 4]` of a step's input `[C, H, W]`, as many in each place as it has there."""
    channel, y, x = np.nonzero(frame)
    events = np.stack([np.zeros_like(x), x, y, channel], 1)
    return np.repeat(events, frame[channel, y, x].astype(np.int64), 0)


def _together(steps: list[Counts]) -> Counts:
    scores, spikes, synops = (np.concatenate([getattr(step, name) for step in steps], 1) for name in Counts._fields[:3])
    fed, used = (np.sum([getattr(step, name) for step in steps], 0) for name in ("input", "used"))
    return Counts(scores, spikes, synops, fed, used)


def _same(one: Counts, other: Counts) -> bool:
    return all(map(np.array_equal, one[:5], other[:5]))
