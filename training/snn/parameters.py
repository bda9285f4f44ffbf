"""How many parameters a structure has, and the wider structure that has a given number of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from contract.card import InputSpec, Norm, ThresholdScope
from contract.structure import (
    Conv,
    Linear,
    Pool,
    Residual,
    StructureError,
    Token,
    Vote,
    format_structure,
    parse_structure,
)
from training.snn.neurons import threshold_shape


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters: `weights` with biases and batch norm, and `thresholds`."""

    weights: int
    thresholds: int


@dataclass(frozen=True)
class ParameterCounter:
    """Counts the parameters of the networks that `build_network` makes with these arguments, without making them."""

    spec: InputSpec
    classes: int
    norm: Norm
    bias: bool
    scope: ThresholdScope
    analog_input: bool

    def count(self, tokens: Sequence[Token]) -> Parameters:
        """The parameters of the network of this structure."""
        shape: tuple[int, ...] = self.spec.shape
        spikes = not self.analog_input
        weights = thresholds = 0

        def layer(inputs: int, output: tuple[int, ...], kernel: int = 1, *, convolution: bool = True) -> None:
            nonlocal weights, thresholds
            has_norm = convolution and self.norm != "none"
            each = 2 if has_norm else int(self.bias)  # per channel: scale and shift, or a bias
            weights += output[0] * (inputs * kernel**2 + each)
            thresholds += math.prod(threshold_shape(output, self.scope))

        for token in tokens:
            match token:
                case Conv(channels, kernel):
                    before, shape = shape[0], (channels, *shape[1:])
                    layer(before, shape, kernel)
                case Residual(channels, kernel):
                    before, shape = shape[0], (channels, *shape[1:])
                    layer(before, shape, kernel)
                    layer(channels, shape, kernel)
                    if before != channels or not spikes:
                        layer(before, shape)  # the shortcut
                case Pool(kind, size):
                    shape = (shape[0], shape[1] // size, shape[2] // size)
                    spikes = spikes and kind == "MP"
                case Linear(units) | Vote(units):
                    output = (units * (self.classes if isinstance(token, Vote) else 1),)
                    layer(math.prod(shape), output, convolution=False)
                    shape = output
            spikes = spikes or isinstance(token, Conv | Residual | Linear)
        return Parameters(weights, thresholds)

    def widen(self, structure: str, weights: int) -> str:
        """The structure with wider hidden layers whose number of `weights` is the nearest.

        All layers grow in proportion, as far as one more channel or unit of each still fits; a residual block that is
        as wide as what precedes it stays so. `StructureError` where the structure has more of them already, or no
        hidden layer.
        """
        tokens = parse_structure(structure)
        groups = _growing_together(tokens)
        if not groups or self.count(tokens).weights > weights:
            raise StructureError(f"structure {structure!r} cannot be widened to {weights} weights")
        start = [_width(tokens[group[0]]) for group in groups]
        while True:
            wider = [_one_wider(tokens, group) for group in groups]
            fitting = [place for place, each in enumerate(wider) if self.count(each).weights <= weights]
            if not fitting:
                break
            tokens = wider[min(fitting, key=lambda place: _width(tokens[groups[place][0]]) / start[place])]
        nearest = min([tokens, *wider], key=lambda each: abs(self.count(each).weights - weights))
        return format_structure(nearest)


def _growing_together(tokens: Sequence[Token]) -> list[list[int]]:
    """The places of the hidden layers, those that must have the same width in one group."""
    groups: list[list[int]] = []
    for place, token in enumerate(tokens):
        if not isinstance(token, Conv | Residual | Linear):
            continue
        if isinstance(token, Residual) and groups and _width(tokens[groups[-1][-1]]) == token.channels:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _width(token: Token) -> int:
    assert isinstance(token, Conv | Residual | Linear)
    return token.units if isinstance(token, Linear) else token.channels


def _one_wider(tokens: Sequence[Token], group: Sequence[int]) -> list[Token]:
    wider = list(tokens)
    for place in group:
        token = tokens[place]
        if isinstance(token, Linear):
            wider[place] = replace(token, units=token.units + 1)
        elif isinstance(token, Conv | Residual):
            wider[place] = replace(token, channels=token.channels + 1)
    return wider
