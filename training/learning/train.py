"""One training run: data, network, the loop with its saved states, and at the end a published checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger, Logger

from contract.card import Card, Layer, read_card
from contract.store import Store
from training.data import Dataset
from training.export.checkpoint import find_published, inference_form, publish, script
from training.export.evaluate import Evaluation, evaluate, metrics
from training.export.layer_statistics import layer_statistics
from training.export.reference import reference_of
from training.export.workload import workload
from training.learning.config import TrainingConfig
from training.learning.experiment import Experiment
from training.learning.loop import fit
from training.learning.module import SpikingModule
from training.learning.progress import progress_display
from training.learning.run_folder import LOG_FOLDER, SavedStates, close_run, open_run
from training.learning.time_bins import prepared
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
    epoch and ends with the same weights. Once the version is published, only the log of the epochs is left there.

    Raises `ConfigError` where the configuration does not fit the data, or where the folder holds anything that this
    call would lose or cannot continue; `DivergedError` where training ended in numbers that are not finite.
    """
    dataset = prepared(dataset, config)
    experiment = Experiment(config, dataset)
    module, layers = untrained(experiment)
    with open_run(run_dir, config, resume=resume):
        display = progress_display() if progress else None
        best_epoch = run_loop(
            experiment,
            module,
            run_dir,
            resume=resume,
            callbacks=[] if display is None else [display],
            progress_bar=isinstance(display, TQDMProgressBar),
            logger=CSVLogger(run_dir, name=LOG_FOLDER),
        )
        version = find_published(store, config.name, module.network) if resume else None
        if version is None:
            scripted = script(module.network.eval(), module.encoder)
            test = evaluate(scripted, dataset.test)
            version = publish_trained(experiment, module, layers, best_epoch, scripted, test, store)
    close_run(run_dir)
    return Published(version, read_card(store.checkpoint_path(config.name, version)))


def untrained(experiment: Experiment) -> tuple[SpikingModule, tuple[Layer, ...]]:
    """The module before training, and the layers of its network for the card.

    Raises `ConfigError` or `DataError` where configuration and data set do not fit together.
    """
    _ = experiment.parts  # raises where a class is too small
    network, layers = experiment.initial_network()
    return SpikingModule(
        network, build_encoder(experiment.dataset.input, experiment.encoder), experiment.config
    ), layers


def run_loop(
    experiment: Experiment,
    module: SpikingModule,
    run_dir: Path,
    *,
    resume: bool,
    callbacks: Sequence[Callback] = (),
    progress_bar: bool = False,
    logger: Logger | None = None,
) -> int:
    """Train the module in an open run folder; returns the chosen epoch, whose weights it then has."""
    training, validation = experiment.parts
    return fit(
        module,
        training,
        validation,
        run_dir,
        callbacks=[SavedStates(run_dir), *callbacks],
        device=torch.device("cuda:0" if torch.cuda.is_available() else "cpu"),
        resume=resume,
        progress_bar=progress_bar,
        logger=logger,
    )


def publish_trained(
    experiment: Experiment,
    module: SpikingModule,
    layers: tuple[Layer, ...],
    best_epoch: int,
    scripted: torch.jit.ScriptModule,
    test: Evaluation,
    store: Store,
) -> int:
    """Publish the `scripted` inference form of a trained module with its card; returns the version.

    `test` are the results of this form on the test part.
    """
    training, validation = experiment.parts
    chosen_on = evaluate(scripted, validation) if len(validation) else None
    measured = metrics(test, layers, experiment.encoder.timesteps, chosen_on)
    initial, _ = experiment.initial_network()
    form = inference_form(module.network)
    statistics = layer_statistics(initial, form, module.encoder, experiment.dataset.test)
    work = workload(form, layers, module.encoder, experiment.dataset.test)
    card = experiment.card(layers, module.network.voters, measured, statistics, work, best_epoch)
    part: Literal["validation", "train"] = "validation" if len(validation) else "train"
    reference = reference_of(scripted, validation if len(validation) else training, card, part)
    return publish(store, card, scripted, module.network, reference)
