"""The training step: encode, run, compare firing rates with the label, update weights and thresholds."""

from contextlib import nullcontext
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.nn import functional

from training.data.augment import (
    drop_events,
    drop_from_bins,
    flip_events,
    flip_images,
    shift_bins,
    shift_events,
    shift_images,
)
from training.data.batches import Batch, step_seed
from training.data.bins import is_bins, network_input
from training.learning.config import Recipe
from training.learning.synaptic_activity import SynapticActivity
from training.snn.encode import EventInput, ImageInput
from training.snn.network import SpikingNetwork


def choose_what_learns(network: SpikingNetwork, mode: str) -> None:
    """Set `requires_grad` by learning mode: all parameters (`stl`), all but the thresholds (`sl`), only they (`tl`)."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(mode == "stl" or is_threshold(name) == (mode == "tl"))


def parameter_groups(network: SpikingNetwork, config: Recipe) -> list[dict[str, Any]]:
    """The parameters that learn, as groups for the optimizer: synaptic weights, biases with batch norm, and thresholds.

    Thresholds are a group of their own because Adam divides a gradient by its size: one of the thousands of thresholds
    of a feature map has so small a gradient that even a weak decay would move it instead of the loss.
    """
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    thresholds: list[Tensor] = []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        is_weight = name.endswith("synapses.weight")
        (thresholds if is_threshold(name) else weights if is_weight else biases).append(parameter)
    rate, threshold_rate = config.learning_rate, config.learning_rate * config.threshold_learning_rate_multiplier
    groups = [
        {"params": weights, "lr": rate, "weight_decay": config.weight_decay},
        {"params": biases, "lr": rate, "weight_decay": config.bias_weight_decay},
        {"params": thresholds, "lr": threshold_rate, "weight_decay": config.threshold_weight_decay},
    ]
    return [group for group in groups if group["params"]]


def is_threshold(name: str) -> bool:
    """Whether the parameter of this name holds thresholds."""
    return name.endswith("neurons.threshold")


class SpikingModule(lightning.LightningModule):
    """A network in training.

    The loss is the mean squared error between each class's firing rate (of its voting neurons, over all time steps) and
    the one-hot label; with `loss=step`, the mean over the time steps of each one's error, as in temporal efficient
    training (TET, Deng et al., ICLR 2022). The synaptic activity times `operation_penalty` is added. All random numbers
    of a step are derived from (seed, epoch, step).
    """

    def __init__(self, network: SpikingNetwork, encoder: ImageInput | EventInput, config: Recipe) -> None:
        super().__init__()
        self.network = network
        self.encoder = encoder
        self.config = config
        choose_what_learns(network, config.mode)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the random numbers of this step."""
        torch.manual_seed(step_seed(self.config.seed, self.current_epoch, batch_idx, self.global_rank))

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Raise thresholds to their floor, if there is one."""
        if self.config.threshold_floor is not None:
            for layer in self.network.spiking_layers().values():
                layer.neurons.threshold.clamp_(min=self.config.threshold_floor)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        samples, labels = batch
        x = self.encode(self.augment(samples, len(labels)), len(labels), draw=True)
        with SynapticActivity(self.network) if self.config.operation_penalty else nullcontext() as activity:
            scores, spikes, _ = self.network(x)
        rates = (scores if self.config.loss == "step" else scores.mean(0)) / self.network.voters
        target = functional.one_hot(labels, self.network.classes).to(rates.dtype)
        loss = functional.mse_loss(rates, target.expand_as(rates))
        if activity is not None:
            loss = loss + self.config.operation_penalty * activity.share
        shown = {"loss": loss.detach(), "spikes": spikes.sum() / len(labels)}
        self.log_dict(shown, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Log accuracy and spikes on a batch of the validation part, which chooses the epoch.

        Returns the batch's spikes by time step and layer, `[T, L]`.
        """
        samples, labels = batch
        scores, spikes, _ = self.network(self.encode(samples, len(labels), draw=False))
        accuracy = (scores.sum(0).argmax(1) == labels).float().mean()
        self.log("val_accuracy", accuracy, prog_bar=True, batch_size=len(labels))
        self.log("val_spikes", spikes.sum() / len(labels), batch_size=len(labels))
        by_step: Tensor = spikes.sum(1)
        return by_step

    def augment(self, samples: Tensor, batch_size: int) -> Tensor:
        """The samples with random flips, shifts and dropped events, as configured."""
        config = self.config
        if isinstance(self.encoder, ImageInput):
            return shift_images(flip_images(samples) if config.flip else samples, config.shift)
        if is_bins(samples):
            frames = samples.flatten(1, 2)
            moved = shift_bins(flip_images(frames) if config.flip else frames, config.shift)
            return drop_from_bins(moved, config.event_drop).view_as(samples)
        _, height, width = self.encoder.shape
        if config.flip:
            samples = flip_events(samples, batch_size, width)
        shifted = shift_events(samples, batch_size, config.shift, height, width)
        return drop_events(shifted, batch_size, config.event_drop)

    def encode(self, samples: Tensor, batch_size: int, *, draw: bool) -> Tensor:
        """The network's input; with `draw`, a new Poisson draw for each sample, otherwise the draw of seed 0."""
        if isinstance(self.encoder, EventInput) and is_bins(samples):
            return network_input(samples)
        if isinstance(self.encoder, EventInput):
            return self.encoder.events(samples, batch_size)
        seeds = torch.zeros(batch_size, dtype=torch.int64, device=samples.device)
        return self.encoder.image(samples, seeds.random_(2**62) if draw else seeds)

    def configure_optimizers(self) -> Any:
        """Adam on the parameters that learn, in groups; the learning rates fall after each epoch."""
        config, schedules = self.config, torch.optim.lr_scheduler
        optimizer = torch.optim.Adam(parameter_groups(self.network, config))
        scheduler: schedules.LRScheduler = (
            schedules.CosineAnnealingLR(optimizer, T_max=config.epochs)
            if config.learning_rate_schedule == "cosine"
            else schedules.ExponentialLR(optimizer, gamma=config.learning_rate_decay)
        )
        return {"optimizer": optimizer, "lr_scheduler": scheduler}
