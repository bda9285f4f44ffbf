"""Leaky integrate-and-fire neurons with a trainable threshold."""

from typing import Any

import torch
from torch import Tensor, nn

from contract.card import SurrogateScale, ThresholdScope
from training.snn.surrogate import arctan_slope, to_threshold


def threshold_shape(shape: tuple[int, ...], scope: ThresholdScope) -> tuple[int, ...]:
    """The shape of the thresholds of a layer of neurons of `shape` `(C, H, W)` or `(N,)`.

    There is one threshold per neuron, per channel (a unit of a linear layer is a channel) or per layer.
    """
    if scope == "neuron":
        return shape
    if scope == "channel":
        return (shape[0], *(1 for _ in shape[1:]))
    return (1,)


class _IntegrateAndFire(torch.autograd.Function):
    """All time steps of a layer at once, with its own backward pass.

    It computes the same numbers as autograd over the plain loop, with about half of the memory traffic. The gradient
    also flows through the reset. The threshold gets the negative of the gradient that reaches the membrane potential
    through the spike, so that weights and thresholds learn together; `scale` is that of the surrogate.
    """

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, rest: Tensor, threshold: Tensor, tau: float, alpha: float, scale: SurrogateScale
    ) -> tuple[Tensor, Tensor]:
        potentials, spikes = torch.empty_like(current), torch.empty_like(current)
        for now, potential, fired in zip(current, potentials, spikes, strict=True):
            torch.mul(rest, tau, out=potential).add_(now)
            torch.ge(potential, threshold, out=fired)
            rest = torch.addcmul(potential, potential, fired, value=-1)  # v * (1 - s) in one pass
        ctx.save_for_backward(potentials, spikes, threshold)
        ctx.tau, ctx.alpha, ctx.scale = tau, alpha, scale
        return spikes, rest

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        to_spikes, to_rest = grads
        potentials, spikes, threshold = ctx.saved_tensors
        through_spikes = arctan_slope(potentials, threshold, ctx.alpha, ctx.scale)
        to_current = torch.empty_like(potentials)
        for step in reversed(range(len(potentials))):
            # v was reset to v * (1 - s), and s came from v and theta by the surrogate
            through_spikes[step] *= torch.addcmul(to_spikes[step], to_rest, potentials[step], value=-1)
            torch.addcmul(to_rest, to_rest, spikes[step], value=-1, out=to_current[step])
            to_current[step] += through_spikes[step]
            to_rest = to_current[step] * ctx.tau
        to_theta = None
        if ctx.needs_input_grad[2]:
            to_theta = to_threshold(through_spikes, potentials, threshold, ctx.scale)
        return to_current, to_rest, to_theta, None, None, None


class LIF(nn.Module):
    """A layer of leaky integrate-and-fire neurons with a hard reset to zero.

    `v[t] = tau * v[t-1] * (1 - s[t-1]) + I[t]` and `s[t] = 1 if v[t] >= theta else 0`, with one trainable `theta` per
    neuron, channel or layer (Sun et al. 2022, arXiv 2206.06129).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        tau: float,
        alpha: float,
        scope: ThresholdScope,
        scale: SurrogateScale = "absolute",
    ) -> None:
        super().__init__()
        self.shape = list(shape)
        self.tau = tau
        self.alpha = alpha
        self.scale: SurrogateScale = scale
        self.threshold = nn.Parameter(torch.ones(threshold_shape(shape, scope)))

    def initial_potential(self, batch_size: int) -> Tensor:
        """Membrane potentials at rest, zeros `[B, *shape]`."""
        shape = [batch_size] + self.shape  # noqa: RUF005 (TorchScript cannot unpack a list into a list)
        return torch.zeros(shape, dtype=self.threshold.dtype, device=self.threshold.device)

    def forward(self, current: Tensor, potential: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes `[T, B, *shape]` for currents of that shape, and the potentials `[B, *shape]` after the last reset."""
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            spikes = torch.empty_like(current)
            for step in range(current.shape[0]):
                potential = (potential * self.tau).add_(current[step])
                fired = torch.ge(potential, self.threshold, out=spikes[step])
                potential = torch.addcmul(potential, potential, fired, value=-1.0)
            return spikes, potential
        return self.integrate(current, potential)

    @torch.jit.unused
    def integrate(self, current: Tensor, potential: Tensor) -> tuple[Tensor, Tensor]:
        """`forward` with gradients, outside of TorchScript."""
        return _IntegrateAndFire.apply(  # type: ignore[no-any-return, no-untyped-call]
            current, potential, self.threshold, self.tau, self.alpha, self.scale
        )
