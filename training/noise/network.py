"""Noise inside a network: on its weights, its thresholds, its spikes and its neurons."""

import copy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.errors import ConfigError
from training.noise.kinds import Noise
from training.snn.network import SpikingNetwork
from training.snn.neurons import LIF


@torch.no_grad()
def noisy_network(network: SpikingNetwork, noise: Noise) -> SpikingNetwork:
    """A copy of the network with noise; `ConfigError` for noise on samples.

    Noise on weights and thresholds is drawn once for each layer. Lost spikes are drawn anew for each step and for each
    sample, by its number since the copy was made; silent neurons once. The voting neurons of the last layer lose none
    and are never silent.
    """
    if noise.kind.target != "network":
        raise ConfigError(f"noise {noise.kind.name} is for {noise.kind.target}, not for a network")
    noisy = copy.deepcopy(network)
    if noise.level == 0:
        return noisy
    layers = list(noisy.spiking_layers().values())
    for number, layer in enumerate(layers):
        rng = noise.generator(number)
        match noise.kind.name:
            case "weights":
                weight = layer.synapses.weight
                weight.add_(normal(weight, rng), alpha=noise.level * float(weight.std()))
            case "thresholds":
                threshold = layer.neurons.threshold
                threshold.add_(normal(threshold, rng), alpha=noise.level * abs(float(threshold.mean())))
            case "spikes" if layer is not layers[-1]:
                layer.neurons.register_forward_hook(_Losses(noise, number))
            case "silent" if layer is not layers[-1]:
                active = torch.from_numpy((rng.random(layer.neurons.shape) >= noise.level).astype(np.float32))
                layer.neurons.register_forward_hook(partial(_silence, active=active))
    return noisy


def normal(like: Tensor, rng: np.random.Generator) -> Tensor:
    """Standard normal deviates of the shape and type of `like`."""
    return torch.from_numpy(rng.standard_normal(tuple(like.shape))).to(like)


def _silence(neurons: LIF, arguments: Any, outputs: tuple[Tensor, Tensor], *, active: Tensor) -> tuple[Tensor, Tensor]:
    spikes, potential = outputs
    return spikes * active.to(spikes), potential


class _Losses:
    """Deletes spikes behind a layer's neurons, which were reset all the same."""

    def __init__(self, noise: Noise, layer: int) -> None:
        self._noise, self._layer = noise, layer
        self._samples = 0

    def __call__(self, neurons: LIF, arguments: Any, outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        spikes, potential = outputs
        for place in range(spikes.shape[1]):
            rng = self._noise.generator(self._layer, self._samples + place)
            kept = rng.random(tuple(spikes[:, place].shape), dtype=np.float32) >= self._noise.level
            spikes[:, place] *= torch.from_numpy(kept).to(spikes)
        self._samples += spikes.shape[1]
        return spikes, potential
