"""Weights as whole numbers of a power of two, for which sums are exact whatever their order."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from event_engine.errors import Unsuitable

MAX_SUM = 2**24
"""Whole numbers below this are exact in float32."""

_EXPONENTS = range(-24, 65)
_WEIGHT_BITS = 15


class OnGrid(NamedTuple):
    """`weight` int16 and `bias` float32, both in units of `scale`."""

    weight: NDArray[np.int16]
    bias: NDArray[np.float32] | None
    scale: float


def on_grid(weight: NDArray[np.float32], bias: NDArray[np.float32] | None, max_input: int) -> OnGrid:
    """Weights `[outputs, ...]` and a bias `[outputs]` on the coarsest grid that holds them.

    Raises `Unsuitable` unless every sum of `weight * input + bias`, for inputs from 0 to `max_input`, is exact.
    """
    largest = float(np.abs(weight).max(initial=0))
    if not math.isfinite(largest) or (bias is not None and not np.isfinite(bias).all()):
        raise Unsuitable("weights are not finite")
    exponent = _WEIGHT_BITS - math.frexp(largest)[1]
    units = _whole(weight, exponent)
    bias_units = None if bias is None else _whole(bias, exponent)
    used = int(np.bitwise_or.reduce(np.abs(units), axis=None, initial=0))
    if bias_units is not None:
        used |= int(np.bitwise_or.reduce(np.abs(bias_units), axis=None, initial=0))
    unused = (used & -used).bit_length() - 1 if used else 0
    exponent -= unused
    if exponent not in _EXPONENTS:
        raise Unsuitable("weights are too small or too large")
    units >>= unused
    sums = np.abs(units).reshape(len(units), -1).sum(1) * max_input
    if bias_units is not None:
        bias_units >>= unused
        sums += np.abs(bias_units)
    if sums.max(initial=0) >= MAX_SUM:
        raise Unsuitable("sums of weights could be inexact")
    return OnGrid(units.astype(np.int16), None if bias_units is None else bias_units.astype(np.float32), 2.0**-exponent)


def _whole(values: NDArray[np.float32], exponent: int) -> NDArray[np.int64]:
    scaled = np.ldexp(values.astype(np.float64), exponent)
    if np.abs(scaled).max(initial=0) >= 2**40:
        raise Unsuitable("sums of weights could be inexact")
    units = scaled.astype(np.int64)
    if not np.array_equal(units, scaled):
        raise Unsuitable("weights are not on a grid")
    return units
