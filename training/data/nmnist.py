"""N-MNIST: event camera recordings of MNIST digits, 34 x 34 pixels, two polarities.

Source: Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades", Frontiers in
Neuroscience 2015.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from contract.card import InputSpec
from contract.errors import InvalidEvents
from contract.events import check_events
from contract.events.nmnist import EVENT_BYTES, SUFFIXES, read
from training.data.dataset import Dataset, Recordings
from training.errors import DataError

INPUT = InputSpec(kind="events", channels=2, height=34, width=34)
LABELS = tuple("0123456789")
ATTRIBUTION = "N-MNIST: Garrick Orchard, Ajinkya Jayawant, Gregory K. Cohen, Nitish Thakor, 2015, CC BY-SA 4.0"
WEB_PAGE = "https://www.garrickorchard.com/datasets/n-mnist"


def load_nmnist(data_dir: Path | None) -> Dataset:
    """Load N-MNIST from `nmnist`, `N-MNIST` or `NMNIST` below `data_dir`, or from `data_dir` itself.

    Two layouts are known: the published one, with a folder for each class (`Train/0/*.bin`, `Test/0/*.bin`); and lists
    `train.txt` and `test.txt` with `sample<TAB>class` on each line, where the recording is `events/<sample>.bs2` or
    `.bin`. Raises `DataError` for anything else, including a missing data set, because it is not downloaded.
    """
    folders = [] if data_dir is None else [data_dir / name for name in ("nmnist", "N-MNIST", "NMNIST")] + [data_dir]
    for folder in folders:
        if (folder / "train.txt").is_file() and (folder / "test.txt").is_file():
            files = _recordings_by_number(folder)
            train, test = (_listed(folder / f"{part}.txt", files) for part in ("train", "test"))
        elif (folder / "Train").is_dir() and (folder / "Test").is_dir():
            train, test = (_by_class(folder / part) for part in ("Train", "Test"))
        else:
            continue
        return Dataset("nmnist", LABELS, INPUT, read_recordings(*train), read_recordings(*test), ATTRIBUTION)
    searched = ", ".join(map(str, folders)) or "no folder, since no data folder was given"
    raise DataError(
        f"nmnist: looked for train.txt and test.txt, or Train/ and Test/, in {searched}; "
        f"the data set is at {WEB_PAGE} (unpack Train.zip and Test.zip)"
    )


def read_recordings(paths: Sequence[Path], labels: Sequence[int]) -> Recordings:
    """Read recordings into one block, by the same reader as the service. Raises `DataError` naming the file."""
    size = sum(path.stat().st_size for path in paths)
    block = np.empty((size // EVENT_BYTES, 4), np.int64)
    offsets = [0]
    for path in paths:
        try:
            events = check_events(read(path.read_bytes(), sys.maxsize), INPUT.width, INPUT.height, INPUT.channels)
        except InvalidEvents as error:
            raise DataError(f"{path}: {error}") from error
        offsets.append(offsets[-1] + len(events))
        block[offsets[-2] : offsets[-1]] = events
    used = torch.from_numpy(block[: offsets[-1]])
    return Recordings(used, torch.tensor(offsets), torch.tensor(labels, dtype=torch.int64))


def _recordings_by_number(folder: Path) -> dict[int, Path]:
    events = folder / "events" if (folder / "events").is_dir() else folder
    files: dict[int, Path] = {}
    for path in sorted(events.iterdir()):
        if path.suffix in SUFFIXES and path.stem.isdecimal():
            if int(path.stem) in files:
                raise DataError(f"{path}: sample {int(path.stem)} is also in {files[int(path.stem)].name}")
            files[int(path.stem)] = path
    return files


def _listed(list_file: Path, files: dict[int, Path]) -> tuple[list[Path], list[int]]:
    paths, labels = [], []
    for number, line in enumerate(list_file.read_text().splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            sample, label = map(int, line.split())
        except ValueError as error:
            raise DataError(f"{list_file}, line {number}: expected a sample and a class, found {line!r}") from error
        if sample not in files:
            raise DataError(f"{list_file}, line {number}: no recording {sample}.bs2 or {sample}.bin")
        paths.append(files[sample])
        labels.append(label)
    return paths, labels


def _by_class(folder: Path) -> tuple[list[Path], list[int]]:
    paths, labels = [], []
    for label in LABELS:
        found = sorted(path for suffix in SUFFIXES for path in (folder / label).glob(f"*{suffix}"))
        paths += found
        labels += [int(label)] * len(found)
    return paths, labels
