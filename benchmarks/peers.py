"""The same network in other frameworks: copies of a `SpikingNetwork`'s weights, batch norms and thresholds.

Three peers: a plain loop over time steps of our own, snnTorch's `Leaky` in such a loop, and SpikingJelly's multi-step
`LIFNode`. Each takes network input `[T, B, C, H, W]`, gives votes `[T, B, K]` and counts nothing.
"""

import copy
from collections.abc import Callable, Sequence

import snntorch  # type: ignore[import-untyped]
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate  # type: ignore[import-untyped]
from torch import Tensor, nn

from training.snn.layers import ChannelNorm, MaxPool, SpikingLayer, Stateless
from training.snn.network import SpikingNetwork
from training.snn.neurons import LIF


class PlainLIF(nn.Module):
    """The neuron, written down in the shortest way. Inference only: the comparison has no gradient."""

    def __init__(self, neurons: LIF) -> None:
        super().__init__()
        self.tau = neurons.tau
        self.threshold = nn.Parameter(neurons.threshold.detach().clone())
        self.potential: Tensor | None = None

    def reset_mem(self) -> None:
        """Back to rest (named as snnTorch names it)."""
        self.potential = None

    def forward(self, current: Tensor) -> Tensor:
        """Spikes of one time step."""
        potential = current if self.potential is None else self.tau * self.potential + current
        spikes = (potential >= self.threshold).to(potential.dtype)
        self.potential = potential * (1 - spikes)
        return spikes


class StepLoop(nn.Module):
    """All layers for one time step, then for the next. `neurons` are those stages that hold a membrane potential."""

    def __init__(self, network: SpikingNetwork, neuron_of: Callable[[LIF], nn.Module]) -> None:
        super().__init__()
        self.classes = network.classes
        self.neurons: list[nn.Module] = []
        self.stages = nn.ModuleList()
        for stage in network.stages.values():
            if isinstance(stage, SpikingLayer):
                self.neurons.append(neuron_of(stage.neurons))
                self.stages.extend([*_synapses(stage), *_norm(stage), self.neurons[-1]])
            else:
                self.stages.append(_function(stage))

    def forward(self, x: Tensor) -> Tensor:
        """Votes `[T, B, K]`."""
        for neurons in self.neurons:
            neurons.reset_mem()  # type: ignore[operator]
        votes = []
        for step in x.unbind(0):
            for stage in self.stages:
                step = stage(step)
            votes.append(step)
        return count_votes(torch.stack(votes), self.classes)


class MultiStep(nn.Module):
    """All time steps of one layer, then of the next, as SpikingJelly does it in step mode "m".

    Batch norm goes step by step, as in the network that is copied, or over all steps at once, as SpikingJelly's own
    does: faster in training, but other statistics.
    """

    def __init__(self, network: SpikingNetwork, *, norm_by_step: bool) -> None:
        super().__init__()
        self.classes = network.classes
        self.neurons: list[nn.Module] = []
        self.stages = nn.Sequential()
        around_norm = layer.MultiStepContainer if norm_by_step else layer.SeqToANNContainer
        for stage in network.stages.values():
            if isinstance(stage, SpikingLayer):
                self.neurons.append(spikingjelly_neurons(stage.neurons))
                self.stages.append(layer.SeqToANNContainer(*_synapses(stage)))
                self.stages.extend(around_norm(norm) for norm in _norm(stage))
                self.stages.append(self.neurons[-1])
            else:
                self.stages.append(layer.SeqToANNContainer(_function(stage)))

    def forward(self, x: Tensor) -> Tensor:
        """Votes `[T, B, K]`."""
        functional.reset_net(self)
        return count_votes(self.stages(x), self.classes)


Peer = StepLoop | MultiStep


def plain_loop(network: SpikingNetwork) -> StepLoop:
    """The network as a plain loop over time steps."""
    return StepLoop(network, PlainLIF)


def snntorch_network(network: SpikingNetwork) -> StepLoop:
    """The network with snnTorch's neurons, thresholds trainable. snnTorch lets no gradient through the reset."""

    def leaky(neurons: LIF) -> nn.Module:
        return snntorch.Leaky(  # type: ignore[no-any-return]
            beta=neurons.tau,
            threshold=neurons.threshold.detach().clone(),
            learn_threshold=True,
            spike_grad=snntorch.surrogate.atan(alpha=neurons.alpha),
            reset_mechanism="zero",
            init_hidden=True,
        )

    return StepLoop(network, leaky)


def spikingjelly_network(network: SpikingNetwork, *, norm_by_step: bool = True) -> MultiStep:
    """The network with SpikingJelly's neurons and containers, thresholds trainable; see `MultiStep` for batch norm."""
    return MultiStep(network, norm_by_step=norm_by_step)


def spikingjelly_neurons(neurons: LIF) -> nn.Module:
    """SpikingJelly's neurons with a threshold for each of them.

    Its registered operator takes one number as the threshold. Given a surrogate that it does not know by class (here a
    bound method of its own), it runs its reference loop, which takes a tensor; on a CPU that loop is no slower.
    """
    node = neuron.LIFNode(
        tau=1 / (1 - neurons.tau),
        decay_input=False,
        v_reset=0.0,
        surrogate_function=surrogate.ATan(alpha=neurons.alpha).forward,
        step_mode="m",
    )
    node.v_threshold = nn.Parameter(neurons.threshold.detach().clone())
    return node  # type: ignore[no-any-return]


def count_votes(spikes: Tensor, classes: int) -> Tensor:
    """Votes `[T, B, K]` for the voting layer's spikes `[T, B, N]`."""
    return spikes.reshape(*spikes.shape[:2], classes, -1).sum(3)


def spikes_of(network: nn.Module, neurons: Sequence[nn.Module], x: Tensor) -> list[Tensor]:
    """Every spike of every layer of neurons, flat, for network input `x`, whether it runs by steps or by layers."""
    seen: list[list[Tensor]] = [[] for _ in neurons]
    hooks = []
    for module, spikes in zip(neurons, seen, strict=True):

        def keep(_: nn.Module, __: object, output: Tensor | tuple[Tensor, ...], into: list[Tensor] = spikes) -> None:
            into.append((output[0] if isinstance(output, tuple) else output).detach())

        hooks.append(module.register_forward_hook(keep))
    network(x)
    for hook in hooks:
        hook.remove()
    return [torch.cat(parts).flatten() for parts in seen]


def _synapses(stage: SpikingLayer) -> list[nn.Module]:
    """The layer's synapses, behind a flattening where they are a linear layer."""
    synapses = copy.deepcopy(stage.synapses)
    return [nn.Flatten(1), synapses] if stage.flatten else [synapses]


def _norm(stage: SpikingLayer) -> list[nn.Module]:
    """The layer's batch norm, where it has one."""
    return [copy.deepcopy(stage.norm.norm)] if isinstance(stage.norm, ChannelNorm) else []


class SharingMaxPool(nn.MaxPool2d):
    """Torch's pooling; in training ours, with which equal values share the gradient, so that gradients can be equal."""

    def __init__(self, ours: MaxPool) -> None:
        super().__init__(ours.size)
        self.ours = ours

    def forward(self, x: Tensor) -> Tensor:
        """The maximum over each window."""
        return self.ours(x) if self.training else super().forward(x)  # type: ignore[no-any-return]


def _function(stage: nn.Module) -> nn.Module:
    """Pooling as torch has it, or dropout."""
    if not isinstance(stage, Stateless):
        raise TypeError(f"the peers have no copy of a {type(stage).__name__}")
    if isinstance(stage.function, MaxPool):
        return SharingMaxPool(stage.function)
    return copy.deepcopy(stage.function)
