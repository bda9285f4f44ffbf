"""The layers of a spiking network. Time is the first dimension; each layer counts its spikes and operations.

Every layer takes its input `[T, B, ...]` and its membrane potentials. It returns its output `[T, B, ...]`; its spikes
int64 `[T, B, l]`, with a column for each layer of neurons inside it; its synaptic operations int64 `[T, B, s]`, with a
column for each layer of synapses; and the membrane potentials after the last step.
"""

import torch
from torch import Tensor, nn

from training.snn.neurons import LIF

Counted = tuple[Tensor, Tensor, Tensor, list[Tensor]]


def conv_fan_out(height: int, width: int, channels: int, kernel: int) -> Tensor:
    """Outgoing synapses of the neurons at each position, float64 `[H * W]`.

    A neuron near a padded border reaches fewer windows; a transposed convolution of ones counts them.
    """
    ones = torch.ones(1, 1, height, width, dtype=torch.float64)
    windows = torch.ones(1, 1, kernel, kernel, dtype=torch.float64)
    return nn.functional.conv_transpose2d(ones, windows, padding=(kernel - 1) // 2).flatten() * channels


class ChannelNorm(nn.Module):
    """Batch norm over the channels, with one set of running statistics, so that it can be folded into the convolution.

    In training, the statistics are those of each time step where `per_step` is set, as in the demo of Sun et al.;
    otherwise those of batch and time together, as in tdBN (Zheng et al., AAAI 2021), whose gain starts at the
    threshold.
    """

    def __init__(self, channels: int, *, per_step: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.per_step = per_step

    def forward(self, current: Tensor) -> Tensor:
        """Normalised currents, `[T, B, C, H, W]`."""
        if self.training and self.per_step:
            return torch.stack([self.norm(step) for step in current.unbind(0)])
        normalised: Tensor = self.norm(current.flatten(0, 1))
        return normalised.reshape(current.shape)


class SpikingLayer(nn.Module):
    """Synapses (a convolution or a linear layer), optional batch norm, and LIF neurons.

    `fan_out` float64 `[P]` is the number of outgoing synapses of an input at each of P positions (see `conv_fan_out`;
    one position for a linear layer). Of an `analog` input, each non-zero value costs one multiply-accumulate per
    synapse, as a spike costs one accumulate. `max_input` is the largest input before the network's input scale; 1 for
    spikes.
    """

    fan_out: Tensor

    def __init__(
        self,
        synapses: nn.Conv2d | nn.Linear,
        norm: nn.Module,
        neurons: LIF,
        fan_out: Tensor,
        *,
        analog: bool,
        max_input: int,
    ) -> None:
        super().__init__()
        self.synapses = synapses
        self.norm = norm
        self.neurons = neurons
        self.flatten = isinstance(synapses, nn.Linear)
        self.analog = analog
        self.max_input = max_input
        self.potentials = 1
        self.register_buffer("fan_out", fan_out)

    def forward(self, x: Tensor, state: list[Tensor]) -> Counted:
        """Integrate the input and fire."""
        if self.flatten:
            x = x.flatten(2)
        current = self.norm(self.synapses(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        spikes, potential = self.neurons(current, state[0])
        return spikes, count_spikes(spikes), self.count_operations(x), [potential]

    def count_operations(self, x: Tensor) -> Tensor:
        """Synaptic operations, int64 `[T, B, 1]`: the outgoing synapses of all inputs that are not zero."""
        x = x.detach()
        if self.analog:
            x = (x != 0).to(x.dtype)
        per_position = x.reshape(x.shape[0], x.shape[1], -1, self.fan_out.shape[0]).sum(2).to(torch.float64)
        return (per_position @ self.fan_out).to(torch.int64).unsqueeze(2)

    def initial_state(self, batch_size: int) -> list[Tensor]:
        """Membrane potentials at rest."""
        return [self.neurons.initial_potential(batch_size)]


class ResidualBlock(nn.Module):
    """Two spiking layers beside a shortcut, `shortcut * (1 - residual)`: the output stays 0 or 1.

    A spike of the residual path vetoes the shortcut's (the IAND join of Fang et al., "Deep residual learning in spiking
    neural networks", NeurIPS 2021), so the next layer's operations stay accumulates. The shortcut is the input itself
    if shapes match and the input is spikes, otherwise a 1 x 1 spiking layer.
    """

    def __init__(self, first: SpikingLayer, second: SpikingLayer, shortcut: SpikingLayer | None) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.shortcut = shortcut
        self.potentials = 2 if shortcut is None else 3

    def forward(self, x: Tensor, state: list[Tensor]) -> Counted:
        """Run both paths and join them."""
        y, spikes1, synops1, state1 = self.first(x, state[0:1])
        y, spikes2, synops2, state2 = self.second(y, state[1:2])
        if self.shortcut is None:
            spikes, synops = torch.cat([spikes1, spikes2], 2), torch.cat([synops1, synops2], 2)
            return x * (1 - y), spikes, synops, state1 + state2
        z, spikes3, synops3, state3 = self.shortcut(x, state[2:3])
        spikes, synops = torch.cat([spikes1, spikes2, spikes3], 2), torch.cat([synops1, synops2, synops3], 2)
        return z * (1 - y), spikes, synops, state1 + state2 + state3

    def initial_state(self, batch_size: int) -> list[Tensor]:
        """Membrane potentials at rest."""
        state = self.first.initial_state(batch_size) + self.second.initial_state(batch_size)
        if self.shortcut is not None:
            state = state + self.shortcut.initial_state(batch_size)
        return state


class MaxPool(nn.Module):
    """The maximum over windows of `size` x `size` that do not overlap; rows and columns left over are dropped."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C, H // size, W // size]`.

        Equal values share the gradient evenly. Spikes are equal most of the time, and torch's pooling would give all of
        it to the top left one, so that the thresholds of a feature map would learn by their place in the window.
        Without gradients, this takes maxima of strided slices, several times faster with the same result.
        """
        height, width = x.shape[2] // self.size * self.size, x.shape[3] // self.size * self.size
        if self.training:
            windows = x[:, :, :height, :width].unflatten(3, [-1, self.size]).unflatten(2, [-1, self.size])
            maxima: Tensor = windows.amax([3, 5])
            return maxima
        rows = x[:, :, 0 : height : self.size]
        for offset in range(1, self.size):
            rows = torch.maximum(rows, x[:, :, offset : height : self.size])
        columns = rows[:, :, :, 0 : width : self.size]
        for offset in range(1, self.size):
            columns = torch.maximum(columns, rows[:, :, :, offset : width : self.size])
        return columns


class Stateless(nn.Module):
    """Pooling or dropout: no neurons, no synapses; time is folded into the batch."""

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.potentials = 0

    def forward(self, x: Tensor, state: list[Tensor]) -> Counted:
        """Apply the function at every step."""
        y = self.function(x.flatten(0, 1))
        none = torch.zeros([x.shape[0], x.shape[1], 0], dtype=torch.int64, device=x.device)
        return y.unflatten(0, x.shape[:2]), none, none, state

    def initial_state(self, batch_size: int) -> list[Tensor]:
        """No membrane potentials."""
        rest: list[Tensor] = []
        return rest


def count_spikes(spikes: Tensor) -> Tensor:
    """Spikes of each step and sample, int64 `[T, B, 1]`."""
    return spikes.detach().flatten(2).sum(2, keepdim=True).to(torch.int64)
