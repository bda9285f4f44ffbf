"""What a fine-tuning tells while it runs: events in the job's folder."""

import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor

from contract.job_events import Level, append_event, read_events
from training.data.batches import Batch
from training.errors import DivergedError
from training.fine_tuning.process import Stop
from training.learning.run_folder import SavedStates

PROGRESS_SECONDS = 1.0


class JobReporter:
    """Appends events of one attempt to the job's folder."""

    def __init__(self, folder: Path, attempt: int) -> None:
        self.folder = folder
        self.attempt = attempt

    def tell(self, kind: str, message: str, data: dict[str, Any] | None = None, *, level: Level = "info") -> None:
        """Add a message."""
        append_event(self.folder, message, level=level, data={"kind": kind, "attempt": self.attempt, **(data or {})})

    def tell_metrics(self, message: str, metrics: dict[str, Any]) -> None:
        """Add what an epoch gave."""
        append_event(self.folder, message, type="metrics", data={**metrics, "attempt": self.attempt})

    def told(self, kind: str) -> bool:
        """Whether this attempt or an earlier one has told of `kind`."""
        return any(event.data.get("kind") == kind for _, event in read_events(self.folder))

    def epochs_told(self) -> int:
        """The last epoch of which the metrics were told, 0 before the first."""
        events = (event for _, event in read_events(self.folder) if event.type == "metrics")
        return max((int(event.data.get("epoch", 0)) for event in events), default=0)


class ReportingCheckpoint(SavedStates):
    """Saves the state after each epoch and then tells of it; in long epochs also tells how far they are.

    What is told of an epoch is part of its state, so that a process killed between the two leaves it to the next one.
    Nothing is saved of an epoch that ends in numbers that are not finite: `DivergedError`.
    """

    def __init__(self, run_dir: Path, report: JobReporter, stop: Stop, baseline: float | None) -> None:
        super().__init__(run_dir)
        self.report = report
        self.stop = stop
        self.baseline = baseline
        self.metrics: dict[str, Any] = {}
        self.told_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Batch, index: int
    ) -> None:
        """Stop here if asked to; tell where the epoch is, once a second at most."""
        self.stop.check()
        if time.monotonic() - self.told_at >= PROGRESS_SECONDS:
            where = self._where(trainer)
            where |= {"epoch": trainer.current_epoch, "loss": _finite(outputs["loss"])}
            self.report.tell("progress", f"step {where['step']} of {where['steps']}", where)
            self.told_at = time.monotonic()

    def on_validation_batch_end(self, *_: Any) -> None:
        """Stop here if asked to."""
        self.stop.check()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Check, save, tell."""
        shown = trainer.callback_metrics
        numbers = [shown["loss"], *pl_module.state_dict().values()]
        if not all(bool(torch.isfinite(value).all()) for value in numbers):
            raise DivergedError(
                f"training diverged in epoch {trainer.current_epoch + 1}: loss or weights are not finite numbers"
            )
        self.metrics = {
            "epoch": trainer.current_epoch + 1,
            **self._where(trainer),
            "loss": float(shown["loss"]),
            "accuracy": float(shown["val_accuracy"]),
            "spikes_per_sample": float(shown["val_spikes"]),
            "baseline_accuracy": self.baseline,
        }
        super().on_train_epoch_end(trainer, pl_module)
        self._tell_epoch()

    def improves(self, accuracy: float) -> bool:
        """Of epochs that a small validation part cannot tell apart the last is taken, which has learnt longest."""
        return accuracy >= self.best

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know, or to tell."""
        return super().state_dict() | {"metrics": self.metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there, and tell of that epoch if it was not told."""
        super().load_state_dict(state_dict)
        self.metrics = state_dict["metrics"]
        if self.report.epochs_told() < self.metrics["epoch"]:
            self._tell_epoch()

    def _tell_epoch(self) -> None:
        told = self.metrics
        self.report.tell_metrics(
            f"epoch {told['epoch']} of {told['epochs']}: loss {told['loss']:.4g}, "
            f"validation accuracy {told['accuracy']:.2%}",
            told,
        )
        self.told_at = time.monotonic()

    @staticmethod
    def _where(trainer: lightning.Trainer) -> dict[str, Any]:
        epochs = trainer.max_epochs or 0
        return {"epochs": epochs, "step": trainer.global_step, "steps": epochs * int(trainer.num_training_batches)}


def _finite(loss: Tensor) -> float | None:
    return value if math.isfinite(value := float(loss)) else None
