"""One fine-tuning job, `python -m training fine-tune --job FOLDER`: from its specification to a published version.

The process may be killed at any moment and started again: it continues from the last completed epoch, publishes once
and promotes once. The exit status is 0 once the version is published, `BUSY` if another process runs the job, 128 +
signal if the process was asked to stop, and 1 for a failure, which the last `Failed` event describes.
"""

import copy
import os
import shutil
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch

from contract.card import Card, CardError, Learning, read_card
from contract.datasets.layout import Limits
from contract.errors import DISK_FULL_ERRNOS, Failure, InsufficientStorage, InvalidDataset, ServiceError
from contract.files import replacing
from contract.job_events import Failed, Published, Started, Waiting
from contract.job_spec import BUSY, HYPERPARAMETERS, SPEC_FILE, JobSpec
from contract.settings import Settings
from contract.store import Store
from training.data import Samples
from training.data.upload import VALIDATION_FRACTION, load_parts
from training.errors import ConfigError, DataError, DivergedError
from training.export.checkpoint import inference_form, load_scripted, publish, script
from training.export.evaluate import evaluate, metrics
from training.export.layer_statistics import layer_statistics
from training.export.make_card import make_card
from training.export.reference import reference_of
from training.export.workload import workload
from training.fine_tuning.base_version import (
    INHERITED,
    BaseVersion,
    FineTuningModule,
    recipe_of,
    starting_network,
)
from training.fine_tuning.process import Stop, hold_device, hold_job, limit_cpu_use, training_device
from training.fine_tuning.promotion import promote
from training.fine_tuning.reporting import JobReporter, ReportingCheckpoint
from training.learning.config import Recipe
from training.learning.loop import fit
from training.snn.encode import build_encoder

ATTEMPT_FILE, RUN_FOLDER = "attempt", "run"
FAILED = 1


def main(folder: Path, settings: Settings) -> NoReturn:
    """Run the job in `folder` and end this process with the exit status."""
    stop = Stop()
    stop.listen()
    device = training_device(settings)
    if device.type == "cpu":
        limit_cpu_use(settings)
    try:
        status = run_job(folder, settings, device, stop)
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # an ordinary exit spends a second on unloading torch


def run_job(folder: Path, settings: Settings, device: torch.device, stop: Stop) -> int:
    """Lock the job and the device, run the job, and report a failure; returns the exit status."""
    spec = JobSpec.model_validate_json((folder / SPEC_FILE).read_bytes())
    held = hold_job(folder)
    if held is None:
        print(f"job {spec.id} is running in another process", file=sys.stderr)
        return BUSY
    with held:
        reporter = JobReporter(folder, _attempts(folder) + 1)
        attempt = reporter.attempt
        try:
            with replacing(folder / ATTEMPT_FILE) as file:
                file.write(f"{attempt}\n".encode())

            def report_waiting() -> None:
                reporter.report(f"waiting for {device}, which is in use", Waiting(attempt=attempt))

            with hold_device(settings.data_dir, device, report_waiting):
                reporter.report(f"attempt {attempt} on {device}", Started(attempt=attempt))
                _Job(folder, spec, settings, device, stop, reporter).run()
        except Exception as error:
            traceback.print_exc()
            failure = failure_of(error)
            reporter.report(failure.message, Failed(attempt=attempt, code=failure.code, param=failure.param))
            return FAILED
    return 0


@dataclass(frozen=True)
class _Job:
    folder: Path
    spec: JobSpec
    settings: Settings
    device: torch.device
    stop: Stop
    reporter: JobReporter

    def run(self) -> None:
        """Publish and report unless that is done, promote, and remove the saved states."""
        spec, store = self.spec, Store(*self.settings.model_store)
        version = published_by(store, spec.name, spec.id)
        if version is None:
            version = self._train(store, BaseVersion.find(store, spec.model, spec.version))
        card = read_card(store.checkpoint_path(spec.name, version))
        label = f"{spec.name}/{version}"
        if not self.reporter.has_reported(Published):
            self.reporter.report(f"published {label}", Published(attempt=self.reporter.attempt, model=label))
        promote(store, spec, version, card, lambda: self._parts(card)[1], self.reporter)
        shutil.rmtree(self.folder / RUN_FOLDER, ignore_errors=True)

    def _parts(self, card: Card) -> tuple[Samples, Samples]:
        """The training and the validation part, for a model with the input and the labels of `card`."""
        spec = self.spec
        labels = spec.labels or card.labels
        files = spec.training_file, spec.validation_file
        return load_parts(*files, self.settings.data_dir, card.input, labels, Limits.of(self.settings), seed=spec.seed)

    def _train(self, store: Store, base: BaseVersion) -> int:
        """Train from the last saved state, measure the exported form on the validation part, publish."""
        spec = self.spec
        training, validation = self._parts(base.card)
        baseline = None if spec.labels else evaluate(load_scripted(base.checkpoint), validation).accuracy
        network, layers = starting_network(base, spec)
        start = copy.deepcopy(network)
        module = FineTuningModule(
            network,
            build_encoder(base.card.input, base.card.encoder),
            recipe_of(spec, base.card),
            freeze=spec.freeze,
            new_output=spec.labels is not None,
        )
        run_dir = self.folder / RUN_FOLDER
        run_dir.mkdir(exist_ok=True)
        with self.stop.between_batches():
            states = ReportingCheckpoint(run_dir, self.reporter, self.stop, baseline)
            best_epoch = fit(module, training, validation, run_dir, callbacks=[states], device=self.device, resume=True)
        scripted = script(network.eval(), module.encoder)
        measured = evaluate(scripted, validation)
        form = inference_form(network)
        card = make_card(
            spec.name,
            labels=spec.labels or base.card.labels,
            input=base.card.input,
            encoder=base.card.encoder,
            neuron=base.card.neuron,
            network=base.card.network,
            norm=base.card.norm,
            bias=base.card.bias,
            voters=network.voters,
            layers=layers,
            learning=self._learning(base.card, module.config, len(training), best_epoch, baseline),
            metrics=metrics(measured, layers, base.card.timesteps, measured),
            statistics=layer_statistics(start, form, module.encoder, validation),
            workload=workload(form, layers, module.encoder, validation),
            parent=f"{spec.model}/{spec.version}",
        )
        return publish(store, card, scripted, network, reference_of(scripted, validation, card))

    def _learning(self, base: Card, recipe: Recipe, samples: int, best_epoch: int, baseline: float | None) -> Learning:
        """How this version was trained; `lr`, like `epochs` and `mode`, is the job's own and not the base's."""
        spec, cut = self.spec, self.spec.validation_file is None
        return Learning(
            mode=recipe.mode,
            dataset=spec.training_file.filename,
            attribution=base.learning.attribution,
            samples=samples,
            epochs=recipe.epochs,
            best_epoch=best_epoch,
            optimizer="adam",
            lr=recipe.learning_rate,
            seed=recipe.seed,
            threshold=base.learning.threshold,
            threshold_std=base.learning.threshold_std,
            initial_thresholds=base.learning.initial_thresholds,
            batch_size=recipe.batch_size,
            **{name: getattr(recipe, name) for name in INHERITED},
            threshold_learning_rate_multiplier=recipe.threshold_learning_rate_multiplier,
            threshold_weight_decay=recipe.threshold_weight_decay,
            threshold_floor=recipe.threshold_floor,
            validation_fraction=VALIDATION_FRACTION if cut else None,
            learning_rate_multiplier=spec.learning_rate_multiplier,
            freeze=spec.freeze,
            new_labels=spec.labels is not None,
            job=spec.id,
            dataset_sha256=spec.training_file.sha256,
            validation_sha256=None if spec.validation_file is None else spec.validation_file.sha256,
            measured_on="validation",
            baseline_accuracy=baseline,
        )


def published_by(store: Store, name: str, job: str) -> int | None:
    """The version of `name` that the job has published; None before that. Calibrated copies of it are newer."""
    for version in store.versions(name):
        try:
            learning = read_card(store.checkpoint_path(name, version)).learning
        except CardError:
            continue
        if learning.job == job:
            return version
    return None


def failure_of(error: Exception) -> Failure:
    """The failure that the job ends with; an unforeseen error is named by its type alone."""
    if any(isinstance(each, OSError) and each.errno in DISK_FULL_ERRNOS for each in _chain(error)):
        return Failure(InsufficientStorage.code, "the disk is full; resume the job once there is room")
    if isinstance(error, DivergedError):
        param = f"{HYPERPARAMETERS}.learning_rate_multiplier"
        return Failure("diverged", f"{error}; try a lower learning_rate_multiplier", param)
    if isinstance(error, ServiceError):
        return error.failure
    if isinstance(error, DataError):
        return Failure(InvalidDataset.code, str(error), "training_file")
    if isinstance(error, ConfigError):
        return Failure(ServiceError.code, str(error))
    return Failure(ServiceError.code, f"training failed: {type(error).__name__}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__


def _attempts(folder: Path) -> int:
    try:
        return int((folder / ATTEMPT_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return 0
