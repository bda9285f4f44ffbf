"""The surrogate gradient, which replaces the derivative of the step function in the backward pass."""

import math

from torch import Tensor


def arctan_slope(potential: Tensor, threshold: Tensor, alpha: float) -> Tensor:
    """`alpha/2 / (1 + (pi/2 * alpha * x)^2)` with `x = potential - threshold`.

    The derivative of the arctangent, scaled to a step of height one (Fang et al., ICCV 2021). `threshold` broadcasts
    to `potential`.
    """
    slope = (potential - threshold).mul_(math.pi / 2 * alpha)
    return slope.square_().add_(1).reciprocal_().mul_(alpha / 2)
