"""How a run shows where it is: a bar on a terminal, a line an epoch anywhere else."""

import sys

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback, TQDMProgressBar


class EpochLines(Callback):
    """One line for each epoch, for logs and pipes."""

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Print what the epoch gave."""
        shown = {name: float(value) for name, value in trainer.callback_metrics.items()}
        figures = ", ".join(f"{name} {value:.4g}" for name, value in sorted(shown.items()))
        print(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: {figures}", flush=True)


def progress_display() -> TQDMProgressBar | EpochLines:
    """The one that fits where standard output goes."""
    return TQDMProgressBar() if sys.stdout.isatty() else EpochLines()
