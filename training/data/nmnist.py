"""N-MNIST: event camera recordings of MNIST digits, 34 x 34 pixels, two polarities.

An event is 5 bytes: x; y; then, big-endian, one bit of polarity and 23 bits of time in µs. An "event" with y = 240 is
no event but says that the camera's timer overflowed: 2^13 µs are added to all times after it. Source: Orchard et al.,
"Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades", Frontiers in Neuroscience 2015.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from contract.card import InputSpec
from training.data.dataset import Dataset, Recordings
from training.errors import DataError

INPUT = InputSpec(kind="events", channels=2, height=34, width=34)
LABELS = tuple("0123456789")
ATTRIBUTION = "N-MNIST: Garrick Orchard, Ajinkya Jayawant, Gregory K. Cohen, Nitish Thakor, 2015, CC BY-SA 4.0"
WEB_PAGE = "https://www.garrickorchard.com/datasets/n-mnist"

EVENT_BYTES = 5
OVERFLOW_Y = 240
OVERFLOW_US = 1 << 13
SUFFIXES = (".bs2", ".bin")


def load_nmnist(data_dir: Path | None) -> Dataset:
    """Load N-MNIST from `nmnist`, `N-MNIST` or `NMNIST` below `data_dir`, or from `data_dir` itself.

    Two layouts are known: the published one, a folder a class (`Train/0/*.bin`, `Test/0/*.bin`); and lists
    `train.txt` and `test.txt` with `sample<TAB>class` on each line, where `events/<sample>.bs2` or `.bin` is the
    recording. Raises `DataError`, also where there is none: this data set is not fetched.
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
    """Read files of 5-byte events into one block. Raises `DataError` that names the file."""
    size = sum(path.stat().st_size for path in paths)
    block = np.empty((size // EVENT_BYTES, 4), np.int64)
    offsets = [0]
    for path in paths:
        try:
            events = decode(path.read_bytes())
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        offsets.append(offsets[-1] + len(events))
        block[offsets[-2] : offsets[-1]] = events
    used = torch.from_numpy(block[: offsets[-1]])
    return Recordings(used, torch.tensor(offsets), torch.tensor(labels, dtype=torch.int64))


def decode(data: bytes) -> NDArray[np.int64]:
    """Decode 5-byte events into int64 `[N, 4]`, columns t (µs), x, y, p.

    Raises `DataError` where the size is not a multiple of 5, an event lies outside the sensor, times fall or there is
    no event at all.
    """
    if len(data) % EVENT_BYTES:
        raise DataError(f"{len(data)} bytes are not a whole number of {EVENT_BYTES}-byte events")
    raw = np.frombuffer(data, np.uint8).reshape(-1, EVENT_BYTES)
    events = np.empty((len(raw), 4), np.int64)
    high, middle, low = raw[:, 2].astype(np.int64), raw[:, 3].astype(np.int64), raw[:, 4]
    events[:, 0] = (high & 0x7F) << 16 | middle << 8 | low
    events[:, 1:3] = raw[:, :2]
    events[:, 3] = high >> 7
    overflow = raw[:, 1] == OVERFLOW_Y
    if overflow.any():
        events[:, 0] += OVERFLOW_US * np.cumsum(overflow)
        events = events[~overflow]
    if not len(events):
        raise DataError("there is no event in it")
    if events[:, 1].max() >= INPUT.width or events[:, 2].max() >= INPUT.height:
        raise DataError(f"an event lies outside the {INPUT.width} x {INPUT.height} sensor")
    if (np.diff(events[:, 0]) < 0).any():
        raise DataError("times fall")
    return events


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
