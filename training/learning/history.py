"""What happened in each epoch of a run. It is saved with the run's state, so a resumed run has all of it."""

import time
from math import prod
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from training.learning.module import SpikingModule

GRADIENT_STEPS = 10

Epoch = dict[str, Any]


class History(Callback):
    """Records each epoch in `epochs`, as a dictionary of plain numbers.

    `epoch` counts from 1; `seconds` and `cpu_seconds` are those of the epoch; `loss` and `spikes` are means over the
    training part, `val_accuracy` and `val_spikes` over the validation part, all in training form. `firing_rate` has for
    each layer the spikes per neuron at each time step, on the validation part. `thresholds` has for each layer mean,
    standard deviation and minimum, and `gradients` the root mean square of the gradient that reaches its weights and
    its thresholds, over the first ten batches.
    """

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []
        self._start = (0.0, 0.0)
        self._spikes: Tensor | None = None
        self._samples = 0
        self._gradients: dict[tuple[str, str], list[float]] = {}

    @property
    def state_key(self) -> str:
        """The key of this callback's state in `last.ckpt`."""
        return "history"

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Forget the last epoch's sums."""
        self._start = (time.perf_counter(), time.process_time())
        self._spikes, self._samples, self._gradients = None, 0, {}

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Add the gradients of one of the first batches."""
        assert isinstance(pl_module, SpikingModule)
        if any(len(found) >= GRADIENT_STEPS for found in self._gradients.values()):
            return
        for name, layer in pl_module.network.spiking_layers().items():
            for parameter_name, parameter in (
                ("weights", layer.synapses.weight),
                ("thresholds", layer.neurons.threshold),
            ):
                if parameter.grad is not None:
                    mean_square = float(parameter.grad.square().mean())
                    self._gradients.setdefault((name, parameter_name), []).append(mean_square)

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the spikes `[T, L]` of a validation batch, which the validation step returns."""
        self._spikes = outputs if self._spikes is None else self._spikes + outputs
        self._samples += len(batch[1])

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep the epoch; the run's state is saved after this."""
        assert isinstance(pl_module, SpikingModule)
        layers = pl_module.network.spiking_layers()
        epoch: Epoch = {
            "epoch": trainer.current_epoch + 1,
            "seconds": time.perf_counter() - self._start[0],
            "cpu_seconds": time.process_time() - self._start[1],
            **{name: float(value) for name, value in trainer.callback_metrics.items()},
            "thresholds": {
                name: {"mean": float(values.mean()), "std": float(values.std(correction=0)), "min": float(values.min())}
                for name, values in ((name, layer.neurons.threshold.detach()) for name, layer in layers.items())
            },
            "gradients": self._root_mean_squares(),
        }
        if self._spikes is not None:
            epoch["firing_rate"] = {
                name: [float(sum_) / (self._samples * prod(layer.neurons.shape)) for sum_ in column]
                for (name, layer), column in zip(layers.items(), self._spikes.T, strict=True)
            }
        self.epochs.append(epoch)

    def state_dict(self) -> dict[str, Any]:
        """The epochs so far."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after these epochs."""
        self.epochs = list(state_dict["epochs"])

    def _root_mean_squares(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for (name, parameter), mean_squares in self._gradients.items():
            found.setdefault(name, {})[parameter] = (sum(mean_squares) / len(mean_squares)) ** 0.5
        return found
