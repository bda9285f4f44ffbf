"""Networks for tests: built from a structure string, with weights that make every layer fire."""

import torch

from contract.card import EventEncoder, ImageEncoder, InputSpec, Layer, Neuron
from training.snn.builder import build_network
from training.snn.network import SpikingNetwork

POISSON = ImageEncoder(coding="poisson", timesteps=3)
DIRECT = ImageEncoder(coding="direct", timesteps=3)


def lively_network(
    structure: str,
    *,
    shape: tuple[int, int, int] = (2, 6, 5),
    encoder: ImageEncoder | EventEncoder = POISSON,
    classes: int = 3,
    tau: float = 0.5,
    seed: int = 0,
) -> tuple[SpikingNetwork, tuple[Layer, ...]]:
    """A network in eval mode whose thresholds are low, and whose batch norms are not the identity."""
    torch.manual_seed(seed)
    channels, height, width = shape
    spec = InputSpec(kind=encoder.kind, channels=channels, height=height, width=width)
    neuron = Neuron(tau=tau, threshold_scope="neuron")
    network, layers = build_network(structure, spec=spec, encoder=encoder, neuron=neuron, classes=classes)
    for layer in network.spiking_layers().values():
        torch.nn.init.uniform_(layer.neurons.threshold, 0.05, 0.3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.3)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval(), layers


def spikes_in(
    timesteps: int, batch: int, shape: tuple[int, int, int] = (2, 6, 5), rate: float = 0.4, seed: int = 1
) -> torch.Tensor:
    """Random input spikes `[T, B, C, H, W]`."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand((timesteps, batch, *shape), generator=generator) < rate).float()


def pixels_in(timesteps: int, batch: int, shape: tuple[int, int, int] = (2, 6, 5), seed: int = 1) -> torch.Tensor:
    """Random pixels, a third of them zero, fed at every step `[T, B, C, H, W]`."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (1, batch, *shape), generator=generator).float()
    return (pixels * (torch.rand(pixels.shape, generator=generator) < 0.66)).expand(timesteps, batch, *shape)
