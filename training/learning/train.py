"""One training run: data, network, the loop with its saved states, and at the end a published checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger

from contract.card import Card, read_card
from contract.store import Store
from training.data import Dataset
from training.export.checkpoint import find_published, inference_form, publish, script
from training.export.evaluate import evaluate, metrics
from training.export.layer_statistics import layer_statistics
from training.learning.config import TrainingConfig
from training.learning.experiment import Experiment
from training.learning.loop import fit
from training.learning.module import SpikingModule
from training.learning.progress import progress_display
from training.learning.run_folder import LOG_FOLDER, SavedStates, close_run, open_run
from training.snn.encode import build_encoder


@dataclass(frozen=True)
class Published:
    """A finished run: its version in the store and the card of that version."""

    version: int
    card: Card


def train(
    config: TrainingConfig,
    dataset: Dataset,
    store: Store,
    run_dir: Path,
    *,
    resume: bool = False,
    progress: bool = True,
) -> Published:
    """Train, choose the epoch on the validation split, measure the exported form once on the test part, publish.

    The run saves its state after each epoch in `run_dir`. With `resume`, a stopped run continues from its last whole
    epoch and ends with the same weights. The folder is removed once the version is published. Raises `ConfigError`
    where the configuration does not fit the data, or where the folder holds anything that this call would lose or
    cannot continue; `DivergedError` where training ended in numbers that are not finite.
    """
    experiment = Experiment(config, dataset)
    _, validation = experiment.parts
    network, layers = experiment.initial_network()
    module = SpikingModule(network, build_encoder(dataset.input, experiment.encoder), config)
    with open_run(run_dir, config, resume=resume):
        best_epoch = _fit(experiment, module, run_dir, resume=resume, progress=progress)
        version = find_published(store, config.name, network) if resume else None
        if version is None:
            scripted = script(network.eval(), module.encoder)
            test = evaluate(scripted, dataset.test)
            chosen_on = evaluate(scripted, validation) if len(validation) else None
            measured = metrics(test, layers, experiment.encoder.timesteps, chosen_on)
            initial, _ = experiment.initial_network()
            statistics = layer_statistics(initial, inference_form(network), module.encoder, dataset.test)
            card = experiment.card(layers, network.voters, measured, statistics, best_epoch)
            version = publish(store, card, scripted, network)
    close_run(run_dir)
    return Published(version, read_card(store.checkpoint_path(config.name, version)))


def _fit(experiment: Experiment, module: SpikingModule, run_dir: Path, *, resume: bool, progress: bool) -> int:
    """Run the loop, shown on the terminal and logged as CSV; returns the chosen epoch."""
    display = progress_display() if progress else None
    training, validation = experiment.parts
    return fit(
        module,
        training,
        validation,
        run_dir,
        callbacks=[SavedStates(run_dir), *([] if display is None else [display])],
        device=torch.device("cuda:0" if torch.cuda.is_available() else "cpu"),
        resume=resume,
        progress_bar=isinstance(display, TQDMProgressBar),
        logger=CSVLogger(run_dir, name=LOG_FOLDER),
    )
