"""The version that a fine-tuning starts from: its network, and which parts of it learn."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import safetensors.torch
import torch

from contract.card import Card, CardError, Layer, read_card
from contract.errors import InvalidParameter, ModelNotFound, VersionNotFound
from contract.job_spec import HYPERPARAMETERS, JobSpec
from contract.store import STATE_FILE, Store
from training.learning.config import Recipe
from training.learning.module import SpikingModule
from training.snn.builder import build_from_card
from training.snn.encode import EventInput, ImageInput
from training.snn.layers import ChannelNorm
from training.snn.network import SpikingNetwork

OUTPUT_LAYER = "vote"

INHERITED = (
    "learning_rate_decay",
    "learning_rate_schedule",
    "loss",
    "operation_penalty",
    "weight_decay",
    "bias_weight_decay",
    "flip",
    "shift",
    "event_drop",
)
"""Fields of the base's training that also hold for its fine-tuning."""


@dataclass(frozen=True)
class BaseVersion:
    """The version that is fine-tuned: its card, its checkpoint and its training state."""

    card: Card
    checkpoint: Path
    state: Path

    @classmethod
    def find(cls, store: Store, name: str, version: int) -> Self:
        """The version in the store; `ModelNotFound` or `VersionNotFound` if training can no longer start from it."""
        if not (versions := store.versions(name)):
            raise ModelNotFound(f"there is no model {name!r}", param="model")
        if version not in versions:
            raise VersionNotFound(f"model {name!r} has no version {version}", param="model")
        checkpoint = store.checkpoint_path(name, version)
        state = checkpoint.with_name(STATE_FILE)
        if not state.is_file():
            raise VersionNotFound(
                f"{name}/{version} has no {STATE_FILE}, from which training would continue", param="model"
            )
        try:
            return cls(read_card(checkpoint), checkpoint, state)
        except CardError as error:
            raise VersionNotFound(f"{name}/{version} cannot be read: {error}", param="model") from error


def starting_network(base: BaseVersion, spec: JobSpec) -> tuple[SpikingNetwork, tuple[Layer, ...]]:
    """The base's network in training form and its layers.

    With new `labels`, the output layer is a new one, as in training from scratch: weights from the job's seed, and
    thresholds as they were when the base's first training started.
    """
    card = base.card
    labels = card.labels if spec.labels is None else spec.labels
    torch.manual_seed(spec.seed)
    network, layers = build_from_card(card, len(labels))
    state = safetensors.torch.load_file(base.state)
    if spec.labels is not None:
        start = card.learning
        threshold = network.spiking_layers()[OUTPUT_LAYER].neurons.threshold
        mean = (start.initial_thresholds or {}).get(OUTPUT_LAYER, 1.0 if start.threshold is None else start.threshold)
        torch.nn.init.normal_(threshold, mean, start.threshold_std or 0.0)
        fresh = {name: value for name, value in network.state_dict().items() if _is_output(name)}
        state = {name: value for name, value in state.items() if not _is_output(name)} | fresh
    network.load_state_dict(state)
    return network, layers


def recipe_of(spec: JobSpec, card: Card) -> Recipe:
    """The job's recipe: what a job does not set (other decays, augmentation) comes from the base's card."""
    return Recipe(
        mode=spec.mode,
        epochs=spec.n_epochs,
        batch_size=spec.batch_size,
        learning_rate=spec.learning_rate,
        threshold_learning_rate_multiplier=spec.threshold_learning_rate_multiplier,
        threshold_weight_decay=spec.threshold_weight_decay,
        threshold_floor=spec.threshold_floor,
        seed=spec.seed,
        **card.learning.model_dump(include=set(INHERITED)),
    )


class FineTuningModule(SpikingModule):
    """A network of which a part does not change, including batch norm's running statistics.

    Mode `tl` changes thresholds only; layers in `freeze` change nothing, not even thresholds. The weights of a new
    output layer learn in every mode, since they start at random. `InvalidParameter` if nothing is left to learn.
    """

    def __init__(
        self,
        network: SpikingNetwork,
        encoder: ImageInput | EventInput,
        config: Recipe,
        *,
        freeze: Collection[str] = (),
        new_output: bool = False,
    ) -> None:
        super().__init__(network, encoder, config)
        layers = network.spiking_layers()
        if unknown := set(freeze) - set(layers):
            raise InvalidParameter(
                f"there is no layer {min(unknown)!r} to freeze; there are {', '.join(layers)}",
                param=f"{HYPERPARAMETERS}.freeze",
            )
        if new_output:
            layers[OUTPUT_LAYER].synapses.requires_grad_(True)
        for name in freeze:
            layers[name].requires_grad_(False)
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise InvalidParameter("all layers are frozen: nothing is left to learn", param=f"{HYPERPARAMETERS}.freeze")
        self.fixed_norms = [
            layer.norm
            for name, layer in layers.items()
            if isinstance(layer.norm, ChannelNorm) and (config.mode == "tl" or name in freeze)
        ]
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Switch the mode, except for batch norms whose statistics do not change."""
        super().train(mode)
        for norm in self.fixed_norms:
            norm.eval()
        return self


def _is_output(name: str) -> bool:
    return name.startswith(f"stages.{OUTPUT_LAYER}.")
