"""From a structure string to a network and to the layers for its card."""

import math

import torch
from torch import nn

from contract.card import Card, EventEncoder, ImageEncoder, InputSpec, Layer, Neuron, Norm
from contract.structure import Conv, Dropout, Linear, Pool, Residual, StructureError, Vote, parse_structure
from training.snn.layers import ChannelNorm, MaxPool, ResidualBlock, SpikingLayer, Stateless, conv_fan_out
from training.snn.network import SpikingNetwork
from training.snn.neurons import LIF


class _Builder:
    """Adds layer after layer and tracks the input of the next one.

    `analog` is set if that input has values other than 0 and 1; `exact` is cleared if they are not whole numbers.
    """

    def __init__(
        self, spec: InputSpec, encoder: ImageEncoder | EventEncoder, neuron: Neuron, norm: Norm, *, bias: bool
    ) -> None:
        self.neuron = neuron
        self.norm = norm
        self.bias = bias
        self.shape: tuple[int, ...] = spec.shape
        self.max_input = encoder.max_input
        self.analog = self.max_input > 1
        self.exact = True
        self.layers: list[Layer] = []
        self.columns = 0

    def conv(self, name: str, channels: int, kernel: int) -> SpikingLayer:
        inputs, height, width = self.shape
        bias = self.bias and self.norm == "none"
        synapses = nn.Conv2d(inputs, channels, kernel, padding=(kernel - 1) // 2, bias=bias)
        norm = nn.Identity() if self.norm == "none" else ChannelNorm(channels, per_step=self.norm == "step")
        fan_out = conv_fan_out(height, width, channels, kernel)
        shape = (channels, height, width)
        layer = self._spiking(synapses, norm, shape, fan_out)
        self._record(name, "conv", shape, synapses=int(fan_out.sum()) * inputs)
        return layer

    def linear(self, name: str, units: int) -> SpikingLayer:
        inputs = math.prod(self.shape)
        fan_out = torch.tensor([float(units)], dtype=torch.float64)
        layer = self._spiking(nn.Linear(inputs, units, bias=self.bias), nn.Identity(), (units,), fan_out)
        self._record(name, "linear", (units,), synapses=inputs * units)
        return layer

    def residual(self, name: str, channels: int, kernel: int) -> ResidualBlock:
        before = self.shape, self.analog, self.exact, self.max_input
        first = self.conv(f"{name}.first", channels, kernel)
        second = self.conv(f"{name}.second", channels, kernel)
        if before == (self.shape, False, True, 1):
            return ResidualBlock(first, second, None)
        self.shape, self.analog, self.exact, self.max_input = before
        return ResidualBlock(first, second, self.conv(f"{name}.shortcut", channels, 1))

    def pool(self, name: str, kind: str, size: int) -> Stateless:
        channels, height, width = self.shape
        if size > min(height, width):
            raise StructureError(f"{kind}{size} does not fit into {height} x {width}")
        self.shape = (channels, height // size, width // size)
        self._append(name, "max_pool" if kind == "MP" else "avg_pool", self.shape)
        if kind == "MP":
            return Stateless(MaxPool(size))
        self.analog, self.exact = True, False
        return Stateless(nn.AvgPool2d(size))

    def _spiking(
        self, synapses: nn.Conv2d | nn.Linear, norm: nn.Module, shape: tuple[int, ...], fan_out: torch.Tensor
    ) -> SpikingLayer:
        neuron = self.neuron
        alpha, scale = neuron.surrogate.alpha, neuron.surrogate.scale
        neurons = LIF(shape, tau=neuron.tau, alpha=alpha, scope=neuron.threshold_scope, scale=scale)
        return SpikingLayer(synapses, norm, neurons, fan_out, analog=self.analog, max_input=self.max_input)

    def _record(self, name: str, kind: str, shape: tuple[int, ...], *, synapses: int) -> None:
        """Add a layer of synapses and neurons to the card; the next layer gets its spikes."""
        self._append(name, kind, shape, synapses=synapses)
        self.columns += 1
        self.shape, self.analog, self.exact, self.max_input = shape, False, True, 1

    def _append(self, name: str, kind: str, shape: tuple[int, ...], *, synapses: int = 0) -> None:
        spiking = synapses > 0
        self.layers.append(
            Layer.model_validate(
                {
                    "name": name,
                    "kind": kind,
                    "out_shape": shape,
                    "neurons": math.prod(shape) if spiking else 0,
                    "synapses": synapses,
                    "dense_macs": synapses,
                    "operation": ("mac" if self.analog else "ac") if spiking else None,
                    "synops_index": self.columns if spiking else None,
                    "spikes_index": self.columns if spiking else None,
                    "exact": self.exact,
                }
            )
        )


def build_network(
    structure: str,
    *,
    spec: InputSpec,
    encoder: ImageEncoder | EventEncoder,
    neuron: Neuron,
    classes: int,
    norm: Norm = "step",
    bias: bool = True,
) -> tuple[SpikingNetwork, tuple[Layer, ...]]:
    """A network with fresh weights (from torch's global generator) and thresholds of one, and its layers for the card.

    Layers are named by kind and number: `conv1`, `pool1`, `fc1`, `residual1`, and `vote`. `norm` is the
    batch norm of the convolutions; with `bias`, the layers without one have a bias. Raises `StructureError`.
    """
    builder = _Builder(spec, encoder, neuron, norm, bias=bias)
    input_scale = 1.0 / builder.max_input
    stages: dict[str, nn.Module] = {}
    seen: dict[str, int] = {}

    def number(kind: str) -> str:
        seen[kind] = seen.get(kind, 0) + 1
        return f"{kind}{seen[kind]}"

    voters = 1
    for token in parse_structure(structure):
        match token:
            case Conv(channels, kernel):
                name = number("conv")
                stages[name] = builder.conv(name, channels, kernel)
            case Residual(channels, kernel):
                name = number("residual")
                stages[name] = builder.residual(name, channels, kernel)
            case Pool(kind, size):
                name = number("pool")
                stages[name] = builder.pool(name, kind, size)
            case Dropout(rate):
                stages[number("dropout")] = Stateless(nn.Dropout(rate))
            case Linear(units):
                name = number("fc")
                stages[name] = builder.linear(name, units)
            case Vote(voters):
                stages["vote"] = builder.linear("vote", classes * voters)
    network = SpikingNetwork(stages, classes=classes, voters=voters, input_scale=input_scale)
    return network, tuple(builder.layers)


def build_from_card(card: Card, classes: int) -> tuple[SpikingNetwork, tuple[Layer, ...]]:
    """The network that a card describes, for this number of classes, as `build_network` makes it."""
    return build_network(
        card.network,
        spec=card.input,
        encoder=card.encoder,
        neuron=card.neuron,
        classes=classes,
        norm=card.norm,
        bias=card.bias,
    )
