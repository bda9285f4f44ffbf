"""The surrogate gradient, which replaces the derivative of the step function in the backward pass."""

import math

from torch import Tensor

from contract.card import SurrogateScale


def arctan_slope(potential: Tensor, threshold: Tensor, alpha: float, scale: SurrogateScale = "absolute") -> Tensor:
    """The derivative of a spike by the potential `v`; `threshold`, theta, broadcasts to `potential`.

    `phi(x) = alpha/2 / (1 + (pi/2 * alpha * x)^2)` is the derivative of the arctangent, scaled to a step of height one
    (Fang et al., ICCV 2021). Its width stays the same or grows with the threshold:

    - `absolute`: `phi(v - theta)`;
    - `relative`: `phi(v/theta - 1) / theta`, the chain rule for a window that is as wide as the threshold;
    - `robust`: `phi(v/theta - 1)`, the threshold-robust gradient (TrSG, Kook et al., WACV 2026), whose size does not
      depend on the threshold.

    The two last ones need thresholds above zero.
    """
    distance = potential - threshold if scale == "absolute" else (potential / threshold).sub_(1)
    slope = distance.mul_(math.pi / 2 * alpha).square_().add_(1).reciprocal_().mul_(alpha / 2)
    return slope.div_(threshold) if scale == "relative" else slope


def to_threshold(through_spikes: Tensor, potential: Tensor, threshold: Tensor, scale: SurrogateScale) -> Tensor:
    """The gradient of the thresholds, in their shape, from that of the potentials through the spikes.

    `-1` times it for `absolute`, `-v/theta` times it for the other two. TrSG lets a spike have the height of its
    threshold, which adds a term; spikes have a height of one here, so it is left out.
    """
    if scale != "absolute":
        through_spikes = through_spikes * (potential / threshold)
    return -through_spikes.sum_to_size(threshold.shape)
