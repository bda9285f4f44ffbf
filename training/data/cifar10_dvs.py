"""CIFAR10-DVS: event camera recordings of CIFAR-10 images that move on a screen, 128 x 128 pixels, two polarities.

Source: Li et al., "CIFAR10-DVS: An Event-Stream Dataset for Object Classification", Frontiers in Neuroscience 2017.
Each class is a folder of 1,000 AEDAT 2.0 files, `airplane/cifar10_airplane_0.aedat` and so on, from a DVS128.
"""

import re
import sys
from pathlib import Path

from contract.events import read_events
from training.data.cifar10 import LABELS
from training.data.dataset import Dataset
from training.data.event_options import EventOptions, Events, Held, find_folder, read_recording
from training.errors import DataError

WIDTH, HEIGHT = 128, 128
CAMERA = "dvs128"
FOLDERS = ("cifar10-dvs", "CIFAR10-DVS", "CIFAR10DVS", "cifar10dvs")
TRAIN_RECORDINGS = 900
ATTRIBUTION = "CIFAR10-DVS: Hongmin Li, Hanchao Liu, Xiangyang Ji, Guoqi Li, Luping Shi, 2017"
WEB_PAGE = "https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671 (unpack the archive of each class)"

_NUMBER = re.compile(r"_(\d+)\.aedat")

Part = tuple[list[Path], list[int]]


def load_cifar10_dvs(data_dir: Path | None, options: EventOptions) -> Dataset:
    """Load CIFAR10-DVS from one of `FOLDERS` below `data_dir`, or from `data_dir` itself.

    There is no published split. As is usual, the recordings 0 to 899 of each class are the train part, and those from
    900 on the test part. x, y and polarity are those of the AEDAT addresses, as the service reads them; the authors'
    tool turns them. Raises `DataError` that names what is missing or broken; nothing is downloaded.
    """
    folder = find_folder(
        data_dir,
        FOLDERS,
        lambda folder: any((folder / label).is_dir() for label in LABELS),
        looked_for="the class folders airplane/ to truck/ of CIFAR10-DVS",
        web_page=WEB_PAGE,
    )
    train: Part = ([], [])
    test: Part = ([], [])
    for label, name in enumerate(LABELS):
        for number, path in _numbered(folder / name):
            paths, labels = train if number < TRAIN_RECORDINGS else test
            paths.append(path)
            labels.append(label)
    spec = options.input(WIDTH, HEIGHT)
    return Dataset("cifar10-dvs", LABELS, spec, _hold(train, options), _hold(test, options), ATTRIBUTION)


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    """The recordings of a class by their number, in its order."""
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("*.aedat")):
        match = _NUMBER.search(path.name)
        if match is None or match.end() < len(path.name):
            raise DataError(f"{path}: the name of a recording ends in its number, as in cifar10_airplane_0.aedat")
        if int(match[1]) in found:
            raise DataError(f"{path}: recording {int(match[1])} is also in {found[int(match[1])].name}")
        found[int(match[1])] = path
    if not found:
        raise DataError(f"{folder}: looked for the recordings of the class, *.aedat")
    return sorted(found.items())


def _hold(part: Part, options: EventOptions) -> Held:
    recordings = (read_recording(path, _read, WIDTH, HEIGHT) for path in part[0])
    return options.hold(recordings, part[1], WIDTH, HEIGHT)


def _read(data: bytes) -> Events:
    return read_events(data, "aedat", camera=CAMERA, max_events=sys.maxsize)
