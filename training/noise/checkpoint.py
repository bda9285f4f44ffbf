"""A published network with noise inside it."""

from pathlib import Path

import torch

from contract.card import Card
from contract.store import STATE_FILE
from training.errors import ConfigError
from training.export.checkpoint import InferenceModule, inference_form, rebuild
from training.noise.kinds import Noise
from training.noise.network import noisy_network
from training.snn.encode import build_encoder


def noisy_checkpoint(card: Card, checkpoint: Path, noise: Noise) -> torch.nn.Module:
    """The checkpoint's inference form with noise; `ConfigError` where its training state is missing."""
    state = checkpoint.with_name(STATE_FILE)
    if not state.is_file():
        raise ConfigError(f"{checkpoint.parent} has no {STATE_FILE}, which noise inside the network needs")
    network = noisy_network(inference_form(rebuild(card, state)), noise)
    return InferenceModule(build_encoder(card.input, card.encoder), network).eval()
