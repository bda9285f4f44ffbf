"""Network structures in the field's notation, such as `128C5-MP2-128C5-MP2-DP0.5-FC2048-VOTE10`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass


class StructureError(ValueError):
    """A structure string is invalid."""


@dataclass(frozen=True)
class Conv:
    """`128C5`: 128 channels, kernel 5 x 5, padded to keep the size; batch norm; LIF."""

    channels: int
    kernel: int

    def __str__(self) -> str:
        return f"{self.channels}C{self.kernel}"


@dataclass(frozen=True)
class Residual:
    """`64R3`: two 3 x 3 convolution layers around a shortcut, joined so that the sum stays spikes."""

    channels: int
    kernel: int

    def __str__(self) -> str:
        return f"{self.channels}R{self.kernel}"


@dataclass(frozen=True)
class Pool:
    """`MP2` or `AP2`: maximum or average over windows of 2 x 2, without overlap."""

    kind: str
    size: int

    def __str__(self) -> str:
        return f"{self.kind}{self.size}"


@dataclass(frozen=True)
class Dropout:
    """`DP0.5`: dropout of half of the values, in training only."""

    rate: float

    def __str__(self) -> str:
        return f"DP{self.rate:g}"


@dataclass(frozen=True)
class Linear:
    """`FC2048`: 2048 units of a fully connected layer; LIF."""

    units: int

    def __str__(self) -> str:
        return f"FC{self.units}"


@dataclass(frozen=True)
class Vote:
    """`VOTE10`: fully connected; ten voting LIF neurons per class. Always last."""

    voters: int

    def __str__(self) -> str:
        return f"VOTE{self.voters}"


Token = Conv | Residual | Pool | Dropout | Linear | Vote

_NOTATION = re.compile(
    r"(?P<conv>[1-9]\d*)C(?P<conv_kernel>[1-9]\d*)"
    r"|(?P<residual>[1-9]\d*)R(?P<residual_kernel>[1-9]\d*)"
    r"|(?P<pool>MP|AP)(?P<size>[1-9]\d*)"
    r"|DP(?P<rate>0(\.\d+)?)"
    r"|FC(?P<units>[1-9]\d*)"
    r"|VOTE(?P<voters>[1-9]\d*)?"
)


def parse_structure(text: str) -> list[Token]:
    """The tokens of a structure string; `StructureError` names the first part that is wrong.

    `VOTE` alone means `VOTE10`. Kernel sizes are odd, so that the padding `(k - 1) / 2` keeps height and width.
    """
    tokens = [_token(part) for part in text.split("-")]
    if not isinstance(tokens[-1], Vote) or any(isinstance(token, Vote) for token in tokens[:-1]):
        raise StructureError(f"structure {text!r} must end with VOTE and have no other VOTE")
    flat = False
    for token, part in zip(tokens, text.split("-"), strict=True):
        if flat and isinstance(token, Conv | Residual | Pool):
            raise StructureError(f"{part!r} cannot follow a fully connected layer in {text!r}")
        flat = flat or isinstance(token, Linear)
    return tokens


def format_structure(tokens: Iterable[Token]) -> str:
    """The structure string of tokens, which `parse_structure` reads."""
    return "-".join(map(str, tokens))


def _token(part: str) -> Token:
    match = _NOTATION.fullmatch(part)
    if match is None:
        raise StructureError(f"{part!r} is not a layer; layers look like 128C5, 64R3, MP2, AP2, DP0.5, FC2048, VOTE10")
    if match["conv"]:
        return Conv(int(match["conv"]), _odd(part, int(match["conv_kernel"])))
    if match["residual"]:
        return Residual(int(match["residual"]), _odd(part, int(match["residual_kernel"])))
    if match["pool"]:
        return Pool(match["pool"], int(match["size"]))
    if match["rate"]:
        return Dropout(float(match["rate"]))
    if match["units"]:
        return Linear(int(match["units"]))
    return Vote(int(match["voters"] or 10))


def _odd(part: str, kernel: int) -> int:
    if kernel % 2 == 0:
        raise StructureError(f"{part!r} has an even kernel size; it must be odd")
    return kernel
