"""`results.json`: everything that a study has found so far, in one file."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from contract.files import replacing
from training.data import Bins, Dataset, Images, Samples
from training.errors import ConfigError
from training.study.folder import RESULTS_FILE, StudyFolder
from training.study.packing import pack_numbers
from training.study.result import ArmRun, DataSummary, Results
from training.study.schedule import Schedule


def summary_of(dataset: Dataset) -> DataSummary:
    """The data set for the results, with a fingerprint of all its samples and labels."""
    digest = hashlib.sha256()
    for part in (dataset.train, dataset.test):
        for values in _tensors(part):
            digest.update(values.numpy().tobytes())
    return DataSummary(
        name=dataset.name,
        attribution=dataset.attribution,
        fingerprint=digest.hexdigest()[:16],
        labels=list(dataset.labels),
        train_samples=len(dataset.train),
        test_samples=len(dataset.test),
        test_labels=pack_numbers(dataset.test.labels.numpy()),
        input=dataset.input.model_dump(),
    )


def write_results(schedule: Schedule, folder: StudyFolder, data: DataSummary) -> Results:
    """Put all complete runs together, replace `results.json` with them, and return them."""
    runs = []
    for planned in schedule.runs():
        result = schedule.result(planned.task)
        if result is not None:
            noise = folder.noise(planned.task) if planned.task.noise.levels else None
            runs.append(ArmRun(arm=planned.arm.name, seed=planned.seed, run=result, noise=noise))
    study = schedule.study
    results = Results(
        study=study,
        data=data,
        updated_at=datetime.now(UTC),
        complete=len(runs) == len(study.arms) * len(study.seeds),
        search=schedule.chosen(),
        runs=runs,
    )
    with replacing(folder.root / RESULTS_FILE) as file:
        file.write(results.model_dump_json().encode())
    return results


def read_results(root: Path) -> Results:
    """The results in the folder of a study; `ConfigError` where there are none that can be read."""
    try:
        return Results.model_validate_json((root / RESULTS_FILE).read_text())
    except OSError as error:
        raise ConfigError(f"there are no results in {root}: {RESULTS_FILE} cannot be read") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{root / RESULTS_FILE} cannot be read by this release: {where}: {first['msg']}") from error


def _tensors(samples: Samples) -> tuple[Tensor, ...]:
    if isinstance(samples, Images):
        return samples.pixels, samples.labels
    if isinstance(samples, Bins):
        return torch.from_numpy(samples.packed), samples.labels
    return samples.unpack(), samples.offsets, samples.labels
