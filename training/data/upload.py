"""The data of a fine-tuning: an uploaded archive, and its cut into a part to train on and a part to validate on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from contract.card import InputSpec
from contract.datasets.layout import Limits
from contract.datasets.load import load_images, load_recordings
from contract.errors import FileNotFound, InvalidDataset, ServiceError
from contract.job_spec import FILES_FOLDER, DataFile
from training.data.dataset import Images, Samples
from training.data.recordings import Recordings

VALIDATION_FRACTION = 0.2  # of each class, where no validation file is given


def load_parts(
    training_file: DataFile,
    validation_file: DataFile | None,
    data_dir: Path,
    spec: InputSpec,
    labels: Sequence[str],
    limits: Limits,
    *,
    seed: int,
) -> tuple[Samples, Samples]:
    """The training and the validation part: two files, or one that is cut by `split_by_class`.

    Raises `FileNotFound` for an upload that is no longer there, and `InvalidDataset` or `ArchiveTooLarge` for one that
    does not fit the input or the labels; `param` says which of the two it was.
    """
    samples = _load(training_file, data_dir, spec, labels, limits, param="training_file")
    if validation_file is not None:
        return samples, _load(validation_file, data_dir, spec, labels, limits, param="validation_file")
    training, validation = split_by_class(samples.labels, seed, labels)
    return samples.subset(training), samples.subset(validation)


def split_by_class(ids: torch.Tensor, seed: int, labels: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rising indices of a training and a validation part, of class ids int64 `[N]`; the same for the same seed.

    Of each class, `VALIDATION_FRACTION` validates, rounded, but at least one sample, and at least one is left to train
    on. `InvalidDataset` for a class with a single sample.
    """
    rng = np.random.default_rng(seed)
    training, validation = [], []
    for each in np.unique(ids.numpy()):
        members = rng.permutation(np.flatnonzero(ids.numpy() == each))
        if len(members) < 2:
            raise InvalidDataset(
                f"class {labels[each]!r} has one sample only; one to train on and one to validate on are needed",
                param="training_file",
            )
        held_out = max(1, round(VALIDATION_FRACTION * len(members)))
        validation.append(members[:held_out])
        training.append(members[held_out:])
    return _rising(training), _rising(validation)


def _rising(parts: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.sort(np.concatenate(parts)))


def _load(
    file: DataFile, data_dir: Path, spec: InputSpec, labels: Sequence[str], limits: Limits, *, param: str
) -> Samples:
    path = data_dir / FILES_FOLDER / file.sha256
    if not path.is_file():
        raise FileNotFound(f"file {file.id} ({file.filename}) has been deleted", param=param)
    try:
        if spec.kind == "image":
            pixels, ids = load_images(path, file.filename, spec, labels, limits)
            return Images(torch.from_numpy(pixels), torch.from_numpy(ids))
        events, offsets, ids = load_recordings(path, file.filename, spec, labels, limits)
        return Recordings.of(torch.from_numpy(events), torch.from_numpy(offsets), torch.from_numpy(ids))
    except FileNotFoundError:
        raise FileNotFound(f"file {file.id} ({file.filename}) has been deleted", param=param) from None
    except ServiceError as error:
        error.param = param
        raise
