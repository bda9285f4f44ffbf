"""The folder of one training run: its configuration and its saved states, which survive a kill at any moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from filelock import FileLock, Timeout
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from contract.files import replacing, unfinished_path
from training.errors import ConfigError
from training.learning.config import TrainingConfig

CONFIG_FILE, LOCK_FILE = "config.json", ".lock"
LAST, BEST = "last.ckpt", "best.ckpt"
LOG_FOLDER = "log"
_LEFT = (LOCK_FILE, LOG_FOLDER)  # of an earlier run


@contextmanager
def open_run(run_dir: Path, config: TrainingConfig, *, resume: bool) -> Iterator[None]:
    """Lock the folder of a new run, or with `resume` that of the stopped run to continue.

    Raises `ConfigError` if the folder holds a run that would be lost, is still running or has another configuration,
    or if it holds anything else.
    """
    file = run_dir / CONFIG_FILE
    if resume and not file.exists():
        raise ConfigError(f"there is no stopped run in {run_dir} to resume")
    if not file.exists() and run_dir.exists() and any(entry.name not in _LEFT for entry in run_dir.iterdir()):
        raise ConfigError(f"{run_dir} is not empty and does not hold a run; choose another --run-dir")
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run_dir / LOCK_FILE, timeout=0):
            if resume:
                _check_same(TrainingConfig.model_validate_json(file.read_text()), config, run_dir)
            elif file.exists():
                raise ConfigError(f"{run_dir} holds a stopped run: continue it with --resume, or remove that folder")
            else:
                with replacing(file) as written:
                    written.write(config.model_dump_json(indent=2).encode())
            yield
    except Timeout:
        raise ConfigError(f"the run in {run_dir} is running in another process") from None


def close_run(run_dir: Path) -> None:
    """Remove the files of a finished run except its log, and the folder if it holds nothing else."""
    for name in (CONFIG_FILE, LAST, BEST, LOCK_FILE):
        (run_dir / name).unlink(missing_ok=True)
        unfinished_path(run_dir / name).unlink(missing_ok=True)
    if not any(run_dir.iterdir()):
        run_dir.rmdir()


class SavedStates(Checkpoint):
    """Saves the whole state as `last.ckpt` after each epoch, and the weights as `best.ckpt` if none were better.

    Without a validation part, the last epoch is the best. The best accuracy so far is part of the state, so a resumed
    run chooses the same epoch as an uninterrupted one, even in a folder that was moved.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.best = -1.0

    @property
    def state_key(self) -> str:
        """The key of this callback's state in `last.ckpt`."""
        return "saved-states"

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save the best weights first, so that `last.ckpt` never refers to weights that were not saved."""
        accuracy = trainer.callback_metrics.get("val_accuracy")
        if accuracy is None or self.improves(float(accuracy)):
            self.best = -1.0 if accuracy is None else float(accuracy)
            trainer.save_checkpoint(self.run_dir / BEST, weights_only=True)
        trainer.save_checkpoint(self.run_dir / LAST, weights_only=False)

    def improves(self, accuracy: float) -> bool:
        """Whether this validation accuracy is the best so far.

        Of equal ones the last wins: on a small validation part an early epoch can be as good by chance, and is trained
        less.
        """
        return accuracy >= self.best

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self.best = state_dict["best"]


class AtomicCheckpoints(TorchCheckpointIO):
    """Replaces a saved state in one step: after a kill, either the old or the new one is there, whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save to `path`."""
        with replacing(Path(path)) as file:
            torch.save(checkpoint, file)


def _check_same(stopped: TrainingConfig, config: TrainingConfig, run_dir: Path) -> None:
    changed = [name for name in type(config).model_fields if getattr(stopped, name) != getattr(config, name)]
    if changed:
        raise ConfigError(f"the run in {run_dir} was started with a different {', '.join(changed)}")
