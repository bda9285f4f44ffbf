"""Rounding weights to a power-of-two grid, so that sums of whole-number inputs are exact in float32.

If weights are whole multiples of `2^-k`, and `sum(|w|) * max_input + |b|` is below `2^24` multiples for each neuron,
every partial sum fits float32's 24-bit significand. Then order, batch, thread count and device cannot change a bit.
"""

import math

import torch
from torch import Tensor

MAX_WEIGHT_STEPS = 1023
MAX_SUM_STEPS = 2**24


def grid_exponent(weight: Tensor, bias: Tensor | None, max_input: int) -> int:
    """The finest k for which a layer's weights on multiples of `2^-k` keep every sum exact.

    The first dimension of `weight` is the neuron (or the channel, whose positions share weights). The largest weight
    takes at most 1023 steps (10 bits and a sign); the bias lies on the same grid, without that limit.
    """
    largest = float(weight.abs().max())
    exponent = math.floor(math.log2(MAX_WEIGHT_STEPS / largest)) if largest > 0 else 0
    while not _fits(weight, bias, max_input, exponent):
        exponent -= 1
    return exponent


def _fits(weight: Tensor, bias: Tensor | None, max_input: int, exponent: int) -> bool:
    steps = to_grid(weight, exponent).double().abs() * 2.0**exponent
    sums = steps.flatten(1).sum(1) * max_input
    if bias is not None:
        sums += to_grid(bias, exponent).double().abs() * 2.0**exponent
    return bool(steps.max() <= MAX_WEIGHT_STEPS and sums.max() < MAX_SUM_STEPS)


def to_grid(values: Tensor, exponent: int) -> Tensor:
    """The nearest multiples of `2^-exponent`, ties to even."""
    scaled = torch.round(values.detach().double() * 2.0**exponent)
    return (scaled * 2.0**-exponent).to(values.dtype)
