"""The progress of a run on standard output: a bar on a terminal, otherwise one line per epoch."""

import sys

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback, TQDMProgressBar


class EpochLines(Callback):
    """One line per epoch, for logs and pipes."""

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Print the epoch's metrics."""
        shown = {name: float(value) for name, value in trainer.callback_metrics.items()}
        figures = ", ".join(f"{name} {value:.4g}" for name, value in sorted(shown.items()))
        print(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: {figures}", flush=True)


def progress_display() -> TQDMProgressBar | EpochLines:
    """The display that suits standard output."""
    return TQDMProgressBar() if sys.stdout.isatty() else EpochLines()
