"""The networks that are measured: a preset's structure with fresh weights, or a shipped model."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from contract.card import Card, ImageEncoder, InputSpec, Layer, Neuron
from contract.store import STATE_FILE, Store
from training.export.checkpoint import rebuild
from training.learning.config import TrainingConfig, load_preset
from training.snn.builder import build_network
from training.snn.encode import ImageInput
from training.snn.network import SpikingNetwork

CLASSES = 10
MNIST = InputSpec(kind="image", channels=1, height=28, width=28)
TINY = InputSpec(kind="image", channels=1, height=8, width=8)
TINY_NETWORK = "4C3-MP2-FC16-VOTE2"

# A threshold above this share of a layer's currents makes the layer fire at 10 to 30 %.
QUIET_SHARE = 0.85
# `torch.quantile` takes no more.
_MOST_CURRENTS = 2**24
# Relative spread of the thresholds of a layer: no two neurons share one, as after training.
THRESHOLD_SPREAD = 0.01


@dataclass(frozen=True)
class Subject:
    """A network in training form and in eval mode, and what its card says of it."""

    name: str
    structure: str
    spec: InputSpec
    encoder: ImageEncoder
    neuron: Neuron
    network: SpikingNetwork
    layers: tuple[Layer, ...]

    @property
    def flop(self) -> int:
        """Floating point operations of one sample, as if dense: two for each synapse and time step."""
        return 2 * self.encoder.timesteps * sum(layer.dense_macs for layer in self.layers)

    def images(self, batch_size: int) -> Tensor:
        """Random images, three pixels of four black as in pictures of digits, uint8 `[B, C, H, W]`."""
        shape = (batch_size, *self.spec.shape)
        lit = torch.rand(shape) < 0.25
        return (torch.randint(0, 256, shape) * lit).to(torch.uint8)

    def encode(self, images: Tensor) -> Tensor:
        """The network's input `[T, B, C, H, W]`, each image with a seed of its own."""
        return ImageInput(self.spec, self.encoder).image(images, torch.arange(len(images)))


def fresh(preset: str, *, quick: bool = False, **fields: object) -> Subject:
    """A preset's network with fresh weights and thresholds that make it lively; `quick` makes it a tiny one.

    `fields` replace those of the preset.
    """
    settings = load_preset(preset) | fields | ({"network": TINY_NETWORK} if quick else {})
    config = TrainingConfig.model_validate(settings)
    spec = TINY if quick else MNIST
    encoder = ImageEncoder(coding=config.coding, timesteps=config.timesteps)
    torch.manual_seed(config.seed)
    network, layers = build_network(config.network, spec=spec, encoder=encoder, neuron=config.neuron, classes=CLASSES)
    subject = Subject(config.name, config.network, spec, encoder, config.neuron, network.eval(), layers)
    make_lively(network, subject.encode(subject.images(8)))
    return subject


def shipped(store: Store, card: Card, version: int) -> Subject:
    """A model of the store in training form. Raises `ValueError` where it takes events."""
    if not isinstance(card.encoder, ImageEncoder):
        raise ValueError(f"{card.name} takes events, and images are what is measured here")
    state = store.checkpoint_path(card.name, version).with_name(STATE_FILE)
    return Subject(card.name, card.network, card.input, card.encoder, card.neuron, rebuild(card, state), card.layers)


def make_lively(network: SpikingNetwork, x: Tensor, *, quiet_share: float = QUIET_SHARE) -> None:
    """Set each layer's thresholds, in one pass over input `[T, B, C, H, W]`, above this share of its currents."""

    def choose(neurons: nn.Module, arguments: tuple[Tensor, Tensor]) -> None:
        reached = float(torch.quantile(arguments[0][-1].flatten()[:_MOST_CURRENTS], quiet_share))
        threshold = neurons.threshold
        assert isinstance(threshold, nn.Parameter)
        threshold.copy_(reached * (1 + THRESHOLD_SPREAD * torch.randn_like(threshold)))

    with torch.no_grad():
        hooks = [layer.neurons.register_forward_pre_hook(choose) for layer in network.spiking_layers().values()]
        network(x)
    for hook in hooks:
        hook.remove()
