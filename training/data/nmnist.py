"""N-MNIST: event camera recordings of MNIST digits, 34 x 34 pixels, two polarities.

Source: Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades", Frontiers in
Neuroscience 2015.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from contract.events.checks import check_order
from contract.events.nmnist import SUFFIXES, read
from training.data.dataset import Dataset
from training.data.event_options import EVERY_EVENT, EventOptions, Held, find_folder, read_recording
from training.errors import DataError

WIDTH, HEIGHT = 34, 34
FOLDERS = ("nmnist", "N-MNIST", "NMNIST")
LABELS = tuple("0123456789")
ATTRIBUTION = "N-MNIST: Garrick Orchard, Ajinkya Jayawant, Gregory K. Cohen, Nitish Thakor, 2015, CC BY-SA 4.0"
WEB_PAGE = "https://www.garrickorchard.com/datasets/n-mnist"


def load_nmnist(data_dir: Path | None, options: EventOptions = EVERY_EVENT) -> Dataset:
    """Load N-MNIST from `nmnist`, `N-MNIST` or `NMNIST` below `data_dir`, or from `data_dir` itself.

    Two layouts are known: the published one, with a folder for each class (`Train/0/*.bin`, `Test/0/*.bin`); and lists
    `train.txt` and `test.txt` with `sample<TAB>class` on each line, where the recording is `events/<sample>.bs2` or
    `.bin`. Raises `DataError` for anything else, including a missing data set, because it is not downloaded.
    """
    folder = find_folder(
        data_dir,
        FOLDERS,
        lambda folder: _has_lists(folder) or ((folder / "Train").is_dir() and (folder / "Test").is_dir()),
        looked_for="train.txt and test.txt, or Train/ and Test/ of N-MNIST,",
        web_page=f"{WEB_PAGE} (unpack Train.zip and Test.zip)",
    )
    if _has_lists(folder):
        files = _recordings_by_number(folder)
        train, test = (_listed(folder / f"{part}.txt", files) for part in ("train", "test"))
    else:
        train, test = (_by_class(folder / part) for part in ("Train", "Test"))
    return Dataset(
        "nmnist",
        LABELS,
        options.input(WIDTH, HEIGHT),
        read_recordings(*train, options),
        read_recordings(*test, options),
        ATTRIBUTION,
    )


def read_recordings(paths: Sequence[Path], labels: Sequence[int], options: EventOptions = EVERY_EVENT) -> Held:
    """Read recordings by the same reader as the service. Raises `DataError` naming the file."""
    recordings = (
        read_recording(path, lambda data: check_order(read(data, sys.maxsize)), WIDTH, HEIGHT) for path in paths
    )
    return options.hold(recordings, labels, WIDTH, HEIGHT)


def _has_lists(folder: Path) -> bool:
    return (folder / "train.txt").is_file() and (folder / "test.txt").is_file()


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
