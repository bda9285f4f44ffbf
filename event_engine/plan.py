"""From a card and the weights of its archive to the layers that the library runs, or the reason why it cannot."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from contract.card import Card
from contract.structure import Conv, Dropout, Linear, Pool, Residual, StructureError, Vote, parse_structure
from event_engine.errors import Unsuitable
from event_engine.grid import on_grid

Weights = Mapping[str, NDArray[np.generic]]
Shape = tuple[int, ...]
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Synapses:
    """Synapses and neurons of one layer.

    `weight` int16 `[outputs, inputs, ...]` and `bias` float32 `[outputs]` in units of `scale`, `threshold` float32
    `[outputs, positions]`, `fan_out` int64 by input position.
    """

    name: str
    weight: NDArray[np.int16]
    bias: NDArray[np.float32] | None
    scale: float
    threshold: NDArray[np.float32]
    fan_out: NDArray[np.int64]
    out_shape: Shape


@dataclass(frozen=True, eq=False)
class ConvStage:
    """A convolution."""

    synapses: Synapses


@dataclass(frozen=True, eq=False)
class ResidualStage:
    """Two convolutions and a shortcut, which is a 1 x 1 convolution or, for None, the input."""

    first: Synapses
    second: Synapses
    shortcut: Synapses | None


@dataclass(frozen=True)
class PoolStage:
    """The maximum over windows."""

    size: int


@dataclass(frozen=True, eq=False)
class FullStage:
    """A fully connected layer."""

    synapses: Synapses


Stage = ConvStage | ResidualStage | PoolStage | FullStage


def make_plan(card: Card, weights: Weights) -> list[Stage]:
    """The stages of the network, from tensors named as in the archive; `Unsuitable` with the reason.

    Every tensor has to have the shape that the card gives, and there may be no others.
    """
    planner = _Planner(card, weights)
    try:
        stages = [stage for token in parse_structure(card.network) if (stage := planner.stage(token)) is not None]
    except StructureError as error:
        raise Unsuitable(f"its structure is unknown: {error}") from error
    if unknown := weights.keys() - planner.used:
        raise Unsuitable(f"the archive has a tensor that is unknown: {min(unknown)}")
    layers = planner.layers
    if len(card.spiking_layers) != layers or len(card.synaptic_layers) != layers:
        raise Unsuitable("the card lists other layers than its structure has")
    return stages


class _Planner:
    """Follows the shape of the signal from stage to stage."""

    def __init__(self, card: Card, weights: Weights) -> None:
        self.used: set[str] = set()
        self.layers = 0
        self._weights = weights
        self._outputs = len(card.labels) * card.voters
        self._voters = card.voters
        self._shape: Shape = card.input.shape
        self._max_input = card.encoder.max_input
        self._numbers: dict[str, int] = {}

    def stage(self, token: Conv | Residual | Pool | Dropout | Linear | Vote) -> Stage | None:
        """The stage of a token, None for one that does nothing here."""
        match token:
            case Dropout():
                return None
            case Pool(kind, size):
                return self._pool(kind, size)
            case Conv(channels, kernel):
                return ConvStage(self._conv(self._name("conv"), channels, kernel))
            case Residual(channels, kernel):
                return self._residual(self._name("residual"), channels, kernel)
            case Linear(units):
                return FullStage(self._full(self._name("fc"), units))
            case Vote(voters):
                if voters != self._voters:
                    raise Unsuitable("the card has another number of voters than its structure")
                return FullStage(self._full("vote", self._outputs))

    def _name(self, kind: str) -> str:
        self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return f"{kind}{self._numbers[kind]}"

    def _pool(self, kind: str, size: int) -> PoolStage:
        if kind != "MP":
            raise Unsuitable("average pooling is not exact")
        if self._max_input > 1:
            raise Unsuitable("it pools its input, which has values other than 0 and 1")
        channels, height, width = self._shape
        if size > min(height, width):
            raise Unsuitable("a pooling window does not fit into the image")
        self._shape = channels, height // size, width // size
        return PoolStage(size)

    def _residual(self, name: str, channels: int, kernel: int) -> ResidualStage:
        shape, max_input = self._shape, self._max_input
        first = self._conv(f"{name}.first", channels, kernel)
        second = self._conv(f"{name}.second", channels, kernel)
        if f"network.stages.{name}.shortcut.synapses.weight" not in self._weights:
            if max_input > 1 or shape != self._shape:
                raise Unsuitable(f"{name} has no shortcut")
            return ResidualStage(first, second, None)
        self._shape, self._max_input = shape, max_input
        return ResidualStage(first, second, self._conv(f"{name}.shortcut", channels, 1))

    def _conv(self, name: str, channels: int, kernel: int) -> Synapses:
        inputs, height, width = self._shape
        out_shape = channels, height, width
        return self._synapses(name, (channels, inputs, kernel, kernel), out_shape, positions=height * width)

    def _full(self, name: str, units: int) -> Synapses:
        return self._synapses(name, (units, prod(self._shape)), (units,), positions=1)

    def _synapses(self, name: str, shape: Shape, out_shape: Shape, *, positions: int) -> Synapses:
        weight = self._tensor(f"{name}.synapses.weight", np.float32, shape)
        bias = None
        if f"network.stages.{name}.synapses.bias" in self._weights:
            bias = self._tensor(f"{name}.synapses.bias", np.float32, shape[:1])
        per_channel = (shape[0], *(1 for _ in out_shape[1:]))
        threshold = self._tensor(f"{name}.neurons.threshold", np.float32, out_shape, per_channel, (1,))
        fan_out = self._tensor(f"{name}.fan_out", np.float64, (positions,))
        if not np.array_equal(fan_out, np.rint(fan_out)) or fan_out.min() < 0 or fan_out.max() >= 2**31:
            raise Unsuitable(f"{name}.fan_out is not a count")
        grid = on_grid(weight, bias, self._max_input)
        thresholds = np.ascontiguousarray(np.broadcast_to(threshold, out_shape)).reshape(shape[0], -1)
        self._shape, self._max_input = out_shape, 1
        self.layers += 1
        return Synapses(
            name,
            np.ascontiguousarray(grid.weight),
            grid.bias,
            grid.scale,
            thresholds,
            fan_out.astype(np.int64),
            out_shape,
        )

    def _tensor(self, name: str, kind: type[Number], *shapes: Shape) -> NDArray[Number]:
        """A tensor of one of these shapes."""
        name = f"network.stages.{name}"
        tensor = self._weights.get(name)
        if tensor is None or tensor.dtype != kind or tensor.shape not in shapes:
            raise Unsuitable(f"the archive has no {name} of the shape that its card gives")
        self.used.add(name)
        return cast("NDArray[Number]", tensor)
