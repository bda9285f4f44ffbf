"""N-Caltech101: event camera recordings of the images of Caltech101, up to 240 x 180 pixels, two polarities.

Source: Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades", Frontiers in
Neuroscience 2015. Each class is a folder of files of 40-bit events, `accordion/image_0001.bin` and so on.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from contract.events.checks import check_order
from contract.events.nmnist import read
from training.data.dataset import Dataset
from training.data.event_options import EventOptions, Events, Held, centred, find_folder, read_recording
from training.errors import DataError

WIDTH, HEIGHT = 240, 180
CLASSES = 101
ADDRESSES = 256  # of one byte each for x and y
FOLDERS = ("N-Caltech101", "Caltech101", "NCaltech101", "ncaltech101", "n-caltech101", "N-Caltech101/Caltech101")
TEST_EVERY = 5
ATTRIBUTION = "N-Caltech101: Garrick Orchard, Ajinkya Jayawant, Gregory K. Cohen, Nitish Thakor, 2015"
WEB_PAGE = "https://www.garrickorchard.com/datasets/n-caltech101 (unpack Caltech101.zip)"


def load_n_caltech101(data_dir: Path | None, options: EventOptions) -> Dataset:
    """Load N-Caltech101 from one of `FOLDERS` below `data_dir`, or from `data_dir` itself.

    There is no published split: of the recordings of each class in the order of their names, every fifth is in the test
    part. Recordings are as large as their image; each is centred on 240 x 180. Raises `DataError` that names what is
    missing or broken; nothing is downloaded.
    """
    folder = find_folder(
        data_dir,
        FOLDERS,
        lambda folder: any(folder.glob("*/image_*.bin")),
        looked_for="the 101 class folders of N-Caltech101 with image_0001.bin and so on",
        web_page=WEB_PAGE,
    )
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if len(names) != CLASSES:
        raise DataError(f"{folder}: there are {len(names)} class folders; N-Caltech101 has {CLASSES}")
    train: list[tuple[int, Path]] = []
    test: list[tuple[int, Path]] = []
    for label, name in enumerate(names):
        paths = sorted((folder / name).glob("*.bin"))
        if not paths:
            raise DataError(f"{folder / name}: looked for the recordings of the class, *.bin")
        for index, path in enumerate(paths, start=1):
            (train if index % TEST_EVERY else test).append((label, path))
    spec = options.input(WIDTH, HEIGHT)
    return Dataset("n-caltech101", names, spec, _hold(train, options), _hold(test, options), ATTRIBUTION)


def _hold(part: Sequence[tuple[int, Path]], options: EventOptions) -> Held:
    recordings = (centred(read_recording(path, _read, ADDRESSES, ADDRESSES), WIDTH, HEIGHT) for _, path in part)
    return options.hold(recordings, [label for label, _ in part], WIDTH, HEIGHT)


def _read(data: bytes) -> Events:
    return check_order(read(data, sys.maxsize))
