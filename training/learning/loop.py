"""The training loop: Lightning's trainer with saved states from which a later process continues."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from training.data import Samples
from training.data.batches import loader
from training.learning.module import SpikingModule
from training.learning.run_folder import BEST, LAST, AtomicCheckpoints


def fit(
    module: SpikingModule,
    training: Samples,
    validation: Samples,
    run_dir: Path,
    *,
    callbacks: Sequence[Callback],
    device: torch.device,
    resume: bool,
    progress_bar: bool = False,
    logger: Logger | None = None,
) -> int:
    """Run the loop and load the chosen epoch's weights into the module; returns that epoch, counted from 1.

    One of `callbacks` must be a `SavedStates` of `run_dir`. With `resume`, the loop continues from its last state.
    """
    config = module.config
    batches = loader(training, config.batch_size, seed=config.seed, shuffle=True)
    held_out = loader(validation, config.batch_size, seed=config.seed, shuffle=False) if len(validation) else None
    resume_from = run_dir / LAST if resume and (run_dir / LAST).exists() else None
    with _quiet_lightning():
        trainer = lightning.Trainer(
            max_epochs=config.epochs,
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=[device.index or 0] if device.type == "cuda" else 1,
            callbacks=list(callbacks),
            plugins=[AtomicCheckpoints()],
            logger=logger or False,
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            enable_progress_bar=progress_bar,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, batches, held_out, ckpt_path=resume_from, weights_only=True)
    chosen = torch.load(run_dir / BEST, map_location="cpu", weights_only=True)
    module.load_state_dict(chosen["state_dict"])
    return int(chosen["epoch"]) + 1


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning's advice, which does not apply here: data in memory needs no workers, frozen parts are fine."""
    announcements = logging.getLogger("pytorch_lightning")
    level = announcements.level
    announcements.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*does not have many workers")
            warnings.filterwarnings("ignore", ".*have no `val_dataloader`")
            warnings.filterwarnings("ignore", "Found .* in eval mode at the start of training")
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")
            yield
    finally:
        announcements.setLevel(level)
