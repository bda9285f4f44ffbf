"""The folder of one run: its configuration, its saved states, and nothing lost to a kill at any moment."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from filelock import FileLock, Timeout
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from contract.files import replacing
from training.errors import ConfigError
from training.learning.config import TrainingConfig

CONFIG_FILE, LOCK_FILE = "config.json", ".lock"
LAST, BEST = "last.ckpt", "best.ckpt"
LOG_FOLDER = "log"


@contextmanager
def open_run(run_dir: Path, config: TrainingConfig, *, resume: bool) -> Iterator[None]:
    """Hold the run folder: a new one, or that of the stopped run to go on with.

    Raises `ConfigError` where the folder holds a run that would be lost, is running, or is another one, or where it
    holds anything else.
    """
    file = run_dir / CONFIG_FILE
    if resume and not file.exists():
        raise ConfigError(f"there is no stopped run in {run_dir} to resume")
    if not file.exists() and run_dir.exists() and any(entry.name != LOCK_FILE for entry in run_dir.iterdir()):
        raise ConfigError(f"{run_dir} is not empty and holds no run; name another --run-dir")
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run_dir / LOCK_FILE, timeout=0):
            if resume:
                _check_same(TrainingConfig.model_validate_json(file.read_text()), config, run_dir)
            elif file.exists():
                raise ConfigError(f"{run_dir} holds a stopped run: go on with --resume, or remove that folder")
            else:
                with replacing(file) as written:
                    written.write(config.model_dump_json(indent=2).encode())
            yield
    except Timeout:
        raise ConfigError(f"the run in {run_dir} is running in another process") from None


def close_run(run_dir: Path) -> None:
    """Remove what a run has written, and the folder if nothing else is in it."""
    for name in (CONFIG_FILE, LAST, BEST, LOCK_FILE):
        (run_dir / name).unlink(missing_ok=True)
    shutil.rmtree(run_dir / LOG_FOLDER, ignore_errors=True)
    if not any(run_dir.iterdir()):
        run_dir.rmdir()


class SavedStates(Checkpoint):
    """After each epoch, the whole state as `last.ckpt`, and the weights as `best.ckpt` where validation improved.

    Without a validation part, the last epoch is the best. The best accuracy so far is part of the state, so a resumed
    run chooses as one that was never stopped, also in a folder that was moved.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.best = -1.0

    @property
    def state_key(self) -> str:
        """The name of this state in a saved run."""
        return "saved-states"

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save; the best first, so that `last.ckpt` never knows of a best that is not there."""
        accuracy = trainer.callback_metrics.get("val_accuracy")
        if accuracy is None or self.improves(float(accuracy)):
            self.best = -1.0 if accuracy is None else float(accuracy)
            trainer.save_checkpoint(self.run_dir / BEST, weights_only=True)
        trainer.save_checkpoint(self.run_dir / LAST, weights_only=False)

    def improves(self, accuracy: float) -> bool:
        """Whether an epoch of this validation accuracy is the best so far; of equal ones the first is."""
        return accuracy > self.best

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.best = state_dict["best"]


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a state beside its place and renames it: a kill leaves the old one or the new one, whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save to `path`."""
        with replacing(Path(path)) as file:
            torch.save(checkpoint, file)


def _check_same(stopped: TrainingConfig, config: TrainingConfig, run_dir: Path) -> None:
    changed = [name for name in type(config).model_fields if getattr(stopped, name) != getattr(config, name)]
    if changed:
        raise ConfigError(f"the run in {run_dir} was started with another {', '.join(changed)}")
