"""The progress of a fine-tuning, reported as events in the job's folder."""

import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor

from contract.job_events import Data, EpochDone, Progress, append_event, read_events
from training.data.batches import Batch
from training.errors import DivergedError
from training.fine_tuning.process import Stop
from training.learning.run_folder import SavedStates

PROGRESS_SECONDS = 1.0  # between two reports of progress, and then a thousandth of the time so far


class JobReporter:
    """Appends the events of one attempt to the job's folder."""

    def __init__(self, folder: Path, attempt: int) -> None:
        self.folder = folder
        self.attempt = attempt

    def report(self, message: str, data: Data) -> None:
        """Add an event."""
        append_event(self.folder, message, data)

    def has_reported(self, *kinds: type[Data]) -> bool:
        """Whether this attempt or an earlier one has reported an event of one of these kinds."""
        return any(isinstance(event.data, kinds) for _, event in read_events(self.folder))

    def last_epoch(self) -> int:
        """The last epoch that was reported as done, 0 before the first."""
        done = (event.data.epoch for _, event in read_events(self.folder) if isinstance(event.data, EpochDone))
        return max(done, default=0)


class ReportingCheckpoint(SavedStates):
    """Saves the state after each epoch and then reports the epoch; reports progress within long epochs.

    The report of an epoch is part of its state. A process that is killed between saving and reporting leaves the report
    to the next attempt. An epoch that ends in numbers that are not finite is not saved: `DivergedError`.
    """

    def __init__(self, run_dir: Path, reporter: JobReporter, stop: Stop, baseline: float | None) -> None:
        super().__init__(run_dir)
        self.reporter = reporter
        self.stop = stop
        self.baseline = baseline
        self.done: EpochDone | None = None
        self.begun_at = self.reported_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Batch, index: int
    ) -> None:
        """Stop here if asked to; report progress, once a second at most, and less often in a long training."""
        self.stop.check()
        now = time.monotonic()
        if now - self.reported_at >= max(PROGRESS_SECONDS, (now - self.begun_at) / 1000):
            progress = Progress(
                attempt=self.reporter.attempt,
                epochs=trainer.max_epochs or 0,
                step=trainer.global_step,
                steps=_steps(trainer),
                epoch=trainer.current_epoch,
                loss=_finite(outputs["loss"]),
            )
            self.reporter.report(f"step {progress.step} of {progress.steps}", progress)
            self.reported_at = time.monotonic()

    def on_validation_batch_end(self, *_: Any) -> None:
        """Stop here if asked to."""
        self.stop.check()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Check, save, report."""
        shown = trainer.callback_metrics
        numbers = [shown["loss"], *pl_module.state_dict().values()]
        if not all(bool(torch.isfinite(value).all()) for value in numbers):
            raise DivergedError(
                f"training diverged in epoch {trainer.current_epoch + 1}: loss or weights are not finite numbers"
            )
        self.done = EpochDone(
            epoch=trainer.current_epoch + 1,
            epochs=trainer.max_epochs or 0,
            step=trainer.global_step,
            steps=_steps(trainer),
            loss=float(shown["loss"]),
            accuracy=float(shown["val_accuracy"]),
            spikes_per_sample=float(shown["val_spikes"]),
            baseline_accuracy=self.baseline,
            attempt=self.reporter.attempt,
        )
        super().on_train_epoch_end(trainer, pl_module)
        self._report_epoch(self.done)

    def improves(self, accuracy: float) -> bool:
        """Of epochs that a small validation part cannot tell apart, the last one counts: it has learnt longest."""
        return accuracy >= self.best

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know, or to report."""
        done = {} if self.done is None else self.done.model_dump(exclude={"attempt"})
        return super().state_dict() | {"metrics": done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from there, and report that epoch if it was not reported."""
        super().load_state_dict(state_dict)
        self.done = EpochDone(**state_dict["metrics"], attempt=self.reporter.attempt)
        if self.reporter.last_epoch() < self.done.epoch:
            self._report_epoch(self.done)

    def _report_epoch(self, done: EpochDone) -> None:
        result = f"loss {done.loss:.4g}, validation accuracy {done.accuracy:.2%}"
        self.reporter.report(f"epoch {done.epoch} of {done.epochs}: {result}", done)
        self.reported_at = time.monotonic()


def _steps(trainer: lightning.Trainer) -> int:
    """Steps of the optimizer in all epochs."""
    return (trainer.max_epochs or 0) * int(trainer.num_training_batches)


def _finite(loss: Tensor) -> float | None:
    return value if math.isfinite(value := float(loss)) else None
