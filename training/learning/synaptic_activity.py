"""`SynapticActivity`: the synaptic operations of a network in training, with gradients."""

from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from training.snn.network import SpikingNetwork


class SynapticActivity:
    """Measures which share of the possible accumulates a network performs while the block runs, as a term of the loss.

    A layer that receives spikes performs one accumulate per spike and outgoing synapse. The share is the sum over all
    such layers, relative to that with a spike of every input in every step. Layers with analog input are left out:
    their operations do not depend on what is learnt.
    """

    def __init__(self, network: SpikingNetwork) -> None:
        self._layers = [layer for layer in network.spiking_layers().values() if not layer.analog]
        self._hooks: list[RemovableHandle] = []
        self._operations: list[Tensor] = []
        self._possible = 0.0

    def __enter__(self) -> Self:
        self._hooks = [layer.register_forward_pre_hook(self._measure) for layer in self._layers]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def share(self) -> Tensor:
        """The share, 0 to 1, over samples, steps and layers so far; a scalar, 0 for a network without such layers."""
        return torch.stack(self._operations).sum() / self._possible if self._operations else torch.zeros(())

    def _measure(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        spikes: Tensor = inputs[0]
        fan_out: Tensor = layer.fan_out.to(spikes.dtype)  # type: ignore[assignment]
        samples = spikes.shape[0] * spikes.shape[1]
        by_position = spikes.reshape(samples, -1, len(fan_out)).sum((0, 1))
        self._operations.append(by_position @ fan_out)
        self._possible += float(fan_out.sum()) * spikes.numel() / len(fan_out)
