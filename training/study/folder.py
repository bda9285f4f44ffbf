"""The folder of a study: one folder for each run, the trained models, and what of it is complete."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from contract.files import replacing
from contract.store import Store
from training.learning.config import TrainingConfig
from training.study.plan import NoisePlan
from training.study.result import NoiseCurves, RunResult

RESULTS_FILE, REPORT_FILE, STUDY_FILE = "results.json", "report.html", "study.json"
PROGRESS_FILE = "progress.json"


@dataclass(frozen=True)
class Task:
    """One training, for a search or as a run of the study, and the noise to measure it with.

    `key` names it by mode, seed and a fingerprint of all that decides its result: settings and data.
    """

    key: str
    config: TrainingConfig
    is_search: bool
    noise: NoisePlan

    @property
    def passes(self) -> int:
        """Epochs times time steps, to which the work is proportional, for the same samples and network."""
        return self.config.epochs * self.config.timesteps


def make_task(config: TrainingConfig, data: str, *, is_search: bool, noise: NoisePlan) -> Task:
    """The task of a configuration on the data with this fingerprint.

    Fields with their default value do not enter into the key, so that results stay valid when fields are added.
    """
    fields = config.model_dump(mode="json", exclude={"name", "seed"}, exclude_defaults=True)
    text = json.dumps([fields, config.mode, data], sort_keys=True)
    key = f"{config.mode}-s{config.seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return Task(key, config.model_copy(update={"name": key}), is_search, noise)


@dataclass(frozen=True)
class StudyFolder:
    """Paths in the folder of a study, and its complete results."""

    root: Path

    @property
    def store(self) -> Store:
        """The trained models, each named after the key of its run."""
        return Store(self.root / "models")

    def run_folder(self, task: Task) -> Path:
        """The folder of a run: its results, and its state while it is being trained."""
        return self.root / "runs" / task.key

    def result(self, task: Task) -> RunResult | None:
        """The result of a complete training, None if there is none with exactly these settings."""
        try:
            result = RunResult.model_validate_json((self.run_folder(task) / "result.json").read_text())
            settings = TrainingConfig(**result.settings)
        except (OSError, ValidationError):
            return None
        is_whole = result.error is not None or task.is_search or result.test is not None
        return result if settings == task.config and is_whole else None

    def noise(self, task: Task) -> NoiseCurves | None:
        """The complete noise results of a run, None if they are missing or were planned otherwise."""
        try:
            return NoiseCurves.model_validate_json(self.noise_file(task).read_text())
        except (OSError, ValidationError):
            return None

    def noise_file(self, task: Task) -> Path:
        """Where the noise results of a run are, for this plan of noise."""
        plan = hashlib.sha256(task.noise.model_dump_json().encode()).hexdigest()[:12]
        return self.run_folder(task) / f"noise-{plan}.json"

    def write_result(self, task: Task, result: RunResult) -> None:
        """Keep the result of a training; it is complete once this returns."""
        _write(self.run_folder(task) / "result.json", result.model_dump_json())

    def write_noise(self, task: Task, curves: NoiseCurves) -> None:
        """Keep the noise results of a run."""
        _write(self.noise_file(task), curves.model_dump_json())

    def training_folder(self, task: Task) -> Path:
        """The state of a run while it is being trained."""
        return self.run_folder(task) / "training"

    def is_done(self, task: Task) -> bool:
        """Whether nothing is left to do for a task."""
        result = self.result(task)
        if result is None:
            return False
        wants_noise = not task.is_search and bool(task.noise.levels) and result.error is None
        return not wants_noise or self.noise(task) is not None

    def forget(self, task: Task) -> None:
        """Remove whatever there is of a run, such as results of other settings, so that it can be done anew."""
        for path in (self.run_folder(task), self.root / "models" / task.key):
            shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())
