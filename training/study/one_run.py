"""One task of a study, in a process of its own: train, measure, and keep the results with the run."""

import json
import os
import shutil
import signal
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback

from contract.files import replacing
from training.data import Dataset
from training.die_with_parent import die_with_parent
from training.errors import DivergedError
from training.export.checkpoint import find_published, inference_form, script
from training.export.evaluate import evaluate
from training.export.layer_statistics import layer_statistics
from training.export.provenance import provenance
from training.learning.config import TrainingConfig
from training.learning.experiment import Experiment
from training.learning.history import History
from training.learning.module import is_threshold
from training.learning.run_folder import CONFIG_FILE, open_run
from training.learning.time_bins import data_settings, load_for, prepared
from training.learning.train import publish_trained, run_loop, untrained
from training.snn.network import SpikingNetwork
from training.study.folder import PROGRESS_FILE, StudyFolder, Task
from training.study.measure import fingerprint_of_weights, initial_thresholds, measurement, raster
from training.study.noise_curves import noise_curves
from training.study.result import RunResult

RASTER_SAMPLE = 0


def prepare_process(parent: int) -> None:
    """Prepare a process for tasks: it ends with the process `parent`, has one thread and a low priority."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its children
    os.nice(10)
    torch.set_num_threads(1)


def run_task(task: Task, root: Path, data_dir: Path | None) -> None:
    """Do what is left of a task: training from its last whole epoch, then noise."""
    folder = StudyFolder(root)
    every_event = any(noise.kind.target == "events" for noise in task.noise.noises)
    dataset = _dataset(data_settings(task.config), data_dir, every_event)
    if folder.result(task) is None:
        _train(task, folder, prepared(dataset, task.config))
    shutil.rmtree(folder.training_folder(task), ignore_errors=True)
    if not folder.is_done(task):
        folder.write_noise(task, noise_curves(folder.store, task, dataset))


@lru_cache(maxsize=1)
def _dataset(config: TrainingConfig, data_dir: Path | None, every_event: bool) -> Dataset:
    return load_for(config, data_dir, every_event=every_event, download=False)


def _train(task: Task, folder: StudyFolder, dataset: Dataset) -> None:
    """Train, resuming a stopped run, and write the result last, before the state of the training goes."""
    experiment = Experiment(task.config, dataset)
    module, layers = untrained(experiment)
    run_dir = folder.training_folder(task)
    is_stopped = (run_dir / CONFIG_FILE).exists()
    if not is_stopped:
        folder.forget(task)
    history = History()
    with open_run(run_dir, task.config, resume=is_stopped):
        progress = _Progress(folder.run_folder(task) / PROGRESS_FILE, history)
        best_epoch = run_loop(experiment, module, run_dir, resume=is_stopped, callbacks=[history, progress])
        initial, _ = experiment.initial_network()
        result = RunResult(
            key=task.key,
            seed=task.config.seed,
            settings=task.config.model_dump(mode="json"),
            made_by=provenance(),
            finished_at=datetime.now(UTC),
            seconds=sum(epoch["seconds"] for epoch in history.epochs),
            cpu_seconds=sum(epoch["cpu_seconds"] for epoch in history.epochs),
            samples=len(experiment.parts[0]),
            initial_weights=fingerprint_of_weights(initial),
            timesteps=experiment.encoder.timesteps,
            voters=initial.voters,
            weights=_count(initial, thresholds=False),
            thresholds=_count(initial, thresholds=True),
            network=experiment.structure,
            parameters_to_match=experiment.parameters_to_match,
            layers=list(layers),
            history=history.epochs,
            best_epoch=best_epoch,
            initial_thresholds=initial_thresholds(initial),
        )
        try:
            scripted = script(module.network.eval(), module.encoder)
        except DivergedError as error:
            folder.write_result(task, result.model_copy(update={"error": str(error)}))
        else:
            measured: dict[str, Any] = {}
            validation = experiment.parts[1]
            if len(validation):
                measured["validation"] = measurement(
                    evaluate(scripted, validation), validation, layers, result.timesteps
                )
            if not task.is_search:
                test = evaluate(scripted, dataset.test)
                if find_published(folder.store, task.key, module.network) is None:
                    publish_trained(experiment, module, layers, best_epoch, scripted, test, folder.store)
                form = inference_form(module.network)
                measured |= {
                    "test": measurement(test, dataset.test, layers, result.timesteps),
                    "statistics": list(layer_statistics(initial, form, module.encoder, dataset.test)),
                    "raster": raster(form, module.encoder, dataset.test, RASTER_SAMPLE),
                }
            folder.write_result(task, result.model_copy(update=measured))


def _count(network: SpikingNetwork, *, thresholds: bool) -> int:
    return sum(parameter.numel() for name, parameter in network.named_parameters() if is_threshold(name) == thresholds)


class _Progress(Callback):
    """Tells the parent after each epoch how far the training is."""

    def __init__(self, path: Path, history: History) -> None:
        self._path = path
        self._history = history

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the number of epochs done and their seconds."""
        done = trainer.current_epoch + 1
        seconds = sum(epoch["seconds"] for epoch in self._history.epochs)
        with replacing(self._path, durable=False) as file:
            file.write(json.dumps({"epochs": done, "seconds": seconds}).encode())
