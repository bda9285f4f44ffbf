"""Everything that one inference does, counted: what the estimators price."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from contract.card import Card, ImageEncoder, Layer
from contract.structure import Conv, Residual, StructureError, parse_structure


@dataclass(frozen=True, slots=True)
class LayerWork:
    """One layer of synapses and the neurons behind it.

    `operations` over all time steps, accumulates where `spiking` (the input is spikes) and multiply-accumulates
    otherwise; `spikes` of its neurons; `neurons`; `synapses`, exact at padded borders; `weights`, which a convolution
    shares; `inputs` of one time step; `kernel`, None for a linear layer; `biased`, whether each neuron adds a bias at
    each step; `constant`, whether its input is the same at every step (direct coding); `passes`, how often the input is
    processed: once a time step, or once for all.
    """

    name: str
    spiking: bool
    operations: float
    spikes: float
    neurons: int
    synapses: int
    weights: int
    inputs: int
    kernel: int | None
    channels: int
    biased: bool
    constant: bool
    passes: int

    @property
    def events(self) -> float:
        """Inputs that were not zero, over all steps: exact for a linear layer, and by the mean fan-out for others."""
        return self.operations * self.inputs / self.synapses if self.synapses else 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one inference over `timesteps` steps on samples of `values` values. Counts may be means."""

    layers: tuple[LayerWork, ...]
    timesteps: int
    values: int

    @property
    def accumulates(self) -> float:
        """Accumulates of all layers."""
        return sum(layer.operations for layer in self.layers if layer.spiking)

    @property
    def multiply_accumulates(self) -> float:
        """Multiply-accumulates of all layers."""
        return sum(layer.operations for layer in self.layers if not layer.spiking)

    @property
    def spikes(self) -> float:
        """Spikes of all neurons; each resets its potential."""
        return sum(layer.spikes for layer in self.layers)

    @property
    def neurons(self) -> int:
        """Neurons of the network."""
        return sum(layer.neurons for layer in self.layers)

    @property
    def synapses(self) -> int:
        """Dense operations of one pass: the work of a conventional network."""
        return sum(layer.synapses for layer in self.layers)

    @property
    def membrane_updates(self) -> int:
        """One leak and one comparison with the threshold, of every neuron at every time step."""
        return self.neurons * self.timesteps

    @property
    def bias_additions(self) -> int:
        """One addition for every neuron with a bias at every time step."""
        return sum(layer.neurons for layer in self.layers if layer.biased) * self.timesteps

    @property
    def direct(self) -> bool:
        """Whether there is a layer whose input is the same at every step."""
        return any(layer.constant for layer in self.layers)

    def first_layer_once(self) -> "Work":
        """The same if currents that are equal at every step, as with direct coding, are computed once."""
        once = (
            replace(layer, operations=layer.operations / layer.passes, passes=1) if layer.constant else layer
            for layer in self.layers
        )
        return replace(self, layers=tuple(once))

    def conventional_macs(self) -> list[tuple[float, float]]:
        """Bounds of each layer's multiply-accumulates whose input is not zero in a conventional network.

        A neuron that never fires stands for a zero. The operations of a layer come from inputs that were active at each
        step (the fewest) or at one step alone (the most, at most all).
        """
        bounds = []
        for layer in self.layers:
            fewest = layer.operations / layer.passes
            bounds.append((fewest, fewest if layer.constant else min(layer.operations, layer.synapses)))
        return bounds


def work_of(card: Card, synops: Sequence[float], spikes: Sequence[float], timesteps: int | None = None) -> Work:
    """The work of one inference from its counts, in the order of `card.synaptic_layers` and `card.spiking_layers`.

    `timesteps`: steps that ran, by default the card's. Raises `StructureError` if the structure string of the card does
    not describe its layers, as it may be for a network trained elsewhere.
    """
    steps = timesteps or card.timesteps
    geometry = _geometry(card)
    direct = isinstance(card.encoder, ImageEncoder) and card.encoder.coding == "direct"
    fired = {layer.name: count for layer, count in zip(card.spiking_layers, spikes, strict=True)}
    layers = []
    for layer, count in zip(card.synaptic_layers, synops, strict=True):
        inputs, kernel, weights, reads_input = geometry[layer.name]
        layers.append(
            LayerWork(
                name=layer.name,
                spiking=layer.operation == "ac",
                operations=count,
                spikes=fired.get(layer.name, 0),
                neurons=layer.neurons,
                synapses=layer.dense_macs,
                weights=weights,
                inputs=inputs,
                kernel=kernel,
                channels=layer.out_shape[0],
                biased=card.bias or (kernel is not None and card.norm != "none"),
                constant=direct and reads_input,
                passes=steps,
            )
        )
    return Work(tuple(layers), steps, prod(card.input.shape))


def idle_work_of(card: Card) -> Work | None:
    """The work of a blank input over all time steps, as the card has it; None for an older card."""
    if card.workload is None:
        return None
    by_layer = {layer.layer: layer for layer in card.workload.layers}
    synops = [by_layer[layer.name].idle_operations for layer in card.synaptic_layers]
    return work_of(card, synops, [by_layer[layer.name].idle_spikes for layer in card.spiking_layers])


def _geometry(card: Card) -> dict[str, tuple[int, int | None, int, bool]]:
    """Inputs, kernel size, number of weights of each synaptic layer, and whether no neurons lie before it."""
    kernels = _kernels(card)
    found: dict[str, tuple[int, int | None, int, bool]] = {}
    shape: tuple[int, ...] = card.input.shape
    untouched = True
    block = shape, untouched
    for layer in card.layers:
        if layer.name.endswith(".first"):
            block = shape, untouched
        elif layer.name.endswith(".shortcut"):
            shape, untouched = block
        if layer.synops_index is not None:
            kernel = _kernel(layer, kernels)
            fan_in = prod(shape) if kernel is None else shape[0] * kernel**2
            found[layer.name] = prod(shape), kernel, fan_in * layer.out_shape[0], untouched
            untouched = False
        shape = layer.out_shape
    return found


def _kernels(card: Card) -> dict[str, int]:
    kernels: dict[str, int] = {}
    convolutions = blocks = 0
    for token in parse_structure(card.network):
        if isinstance(token, Conv):
            convolutions += 1
            kernels[f"conv{convolutions}"] = token.kernel
        elif isinstance(token, Residual):
            blocks += 1
            sizes = {"first": token.kernel, "second": token.kernel, "shortcut": 1}
            kernels |= {f"residual{blocks}.{part}": size for part, size in sizes.items()}
    return kernels


def _kernel(layer: Layer, kernels: dict[str, int]) -> int | None:
    if layer.kind == "linear":
        return None
    if layer.name not in kernels:
        raise StructureError(f"the structure of the network does not name its layer {layer.name!r}")
    return kernels[layer.name]
