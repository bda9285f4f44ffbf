"""Initial thresholds at which signals arrive at every depth, found from data before training.

Without batch norm, currents shrink or grow from layer to layer. One initial threshold for all layers then silences deep
networks, whatever learns in them.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from training.snn.network import SpikingNetwork
from training.snn.neurons import LIF

BISECTIONS = 24


@torch.no_grad()
def balance_thresholds(network: SpikingNetwork, x: Tensor, rate: float) -> dict[str, float]:
    """Set the thresholds of each layer so that its neurons fire at `rate` on average; returns them by layer.

    `x` is network input `[T, B, C, H, W]`, `rate` the share of neurons and steps with a spike. All neurons of a layer
    get the same threshold. A layer follows those before it, which are balanced already. Where even the least threshold
    gives fewer spikes, because most currents are negative, that one is taken; it is positive. Batch norm uses the
    statistics of `x`; its running statistics stay as they are.
    """
    found: dict[str, float] = {}
    kept = {name: buffer.clone() for name, buffer in network.named_buffers()}
    modes = {module: module.training for module in network.modules()}
    hooks = [
        layer.neurons.register_forward_pre_hook(partial(_balance, found=found, name=name, rate=rate))
        for name, layer in network.spiking_layers().items()
    ]
    try:
        network.train()
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        network(x)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
        for name, buffer in network.named_buffers():
            buffer.copy_(kept[name])
    return found


def _balance(neurons: LIF, arguments: tuple[Any, ...], *, found: dict[str, float], name: str, rate: float) -> None:
    current, potential = arguments
    low, high = 0.0, max(float(current.max()), 0.0) * len(current)  # no potential exceeds the sum of all currents
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        neurons.threshold.fill_(middle)
        spikes, _ = neurons.integrate(current, potential)
        low, high = (middle, high) if float(spikes.mean()) > rate else (low, middle)
    found[name] = high if high > 0 else 1.0
    neurons.threshold.fill_(found[name])
