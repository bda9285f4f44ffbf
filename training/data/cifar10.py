"""CIFAR-10: colour images of 32 x 32 pixels in ten classes.

The published binary version has 3,073 bytes per image: its class, then 1,024 bytes each of red, green and blue, row by
row (Krizhevsky, "Learning multiple layers of features from tiny images", 2009).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from contract.card import InputSpec
from training.data.dataset import Dataset, Images
from training.errors import DataError

INPUT = InputSpec(kind="image", channels=3, height=32, width=32)
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ATTRIBUTION = "CIFAR-10: Alex Krizhevsky, Vinod Nair, Geoffrey Hinton"
WEB_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"

FOLDERS = ("cifar-10-batches-bin", "cifar10", "CIFAR10", "cifar10/cifar-10-batches-bin", "CIFAR10/cifar-10-batches-bin")
BINARY_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
BINARY_TEST = "test_batch.bin"
RECORD_BYTES = 1 + 3 * 32 * 32
PICTURE_TRAIN = tuple(f"cifar10_batch_{number}.png" for number in range(4))
PICTURE_TEST = "cifar10_batch_4.png"

Samples = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def load_cifar10(data_dir: Path | None) -> Dataset:
    """Load CIFAR-10 from the first of `FOLDERS` below `data_dir`, or from `data_dir`, that holds one of its files.

    Two layouts are known: the published binary version (`data_batch_1.bin` to `data_batch_5.bin` to train on,
    `test_batch.bin` to test); and pictures of a thousand rows (`cifar10_batch_0.png` to `_3.png` to train on, `_4.png`
    to test) with one image of 1,024 RGB pixels a row, and its class in the same line of `cifar10_batch_0.labels.txt`.
    Raises `DataError` for missing, truncated or wrong files; nothing is downloaded.
    """
    folders = [] if data_dir is None else [*(data_dir / name for name in FOLDERS), data_dir]
    for folder in folders:
        for train, test, read in (
            (BINARY_TRAIN, BINARY_TEST, _read_binary),
            (PICTURE_TRAIN, PICTURE_TEST, _read_picture),
        ):
            if not any((folder / name).is_file() for name in (*train, test)):
                continue
            if missing := [name for name in (*train, test) if not (folder / name).is_file()]:
                raise DataError(f"{folder}: {', '.join(missing)} of CIFAR-10 is missing")
            train_part, test_part = (_images([read(folder / name) for name in names]) for names in (train, (test,)))
            return Dataset("cifar10", LABELS, INPUT, train_part, test_part, ATTRIBUTION)
    searched = ", ".join(map(str, folders)) or "no folder, since no data folder was given"
    raise DataError(
        f"cifar10: looked for {BINARY_TRAIN[0]} in {searched}; the data set is at {WEB_PAGE} "
        f"(the binary version; unpack cifar-10-binary.tar.gz)"
    )


def _images(batches: Sequence[Samples]) -> Images:
    pixels = np.concatenate([pixels for pixels, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels).long())


def _read_binary(path: Path) -> Samples:
    """The images uint8 `[N, 3, 32, 32]` of a batch of the binary version, and their classes uint8 `[N]`."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    if len(data) == 0 or len(data) % RECORD_BYTES:
        raise DataError(
            f"{path}: an image has {RECORD_BYTES} bytes; the {len(data)} bytes end inside image "
            f"{len(data) // RECORD_BYTES}"
        )
    records = data.reshape(-1, RECORD_BYTES)
    _check_classes(path, records[:, 0])
    return records[:, 1:].reshape(-1, *INPUT.shape), records[:, 0]


def _read_picture(path: Path) -> Samples:
    """The same of a picture with one image per row."""
    try:
        with Image.open(path) as picture:
            rows = np.array(picture.convert("RGB"))
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise DataError(f"{path}: not an image, or truncated: {error}") from error
    if rows.shape[1] != INPUT.height * INPUT.width:
        raise DataError(f"{path}: a row has {rows.shape[1]} pixels; an image has {INPUT.height * INPUT.width}")
    labels_file = path.with_suffix(".labels.txt")
    try:
        labels = np.array([int(line) for line in labels_file.read_text().split()])
    except (OSError, ValueError) as error:
        raise DataError(f"{labels_file}: cannot be read: {error}") from error
    if len(labels) != len(rows):
        raise DataError(f"{labels_file}: {len(labels)} classes, but {path.name} has {len(rows)} images")
    _check_classes(labels_file, labels)
    return rows.reshape(-1, INPUT.height, INPUT.width, 3).transpose(0, 3, 1, 2), labels.astype(np.uint8)


def _check_classes(path: Path, labels: NDArray[np.integer]) -> None:
    wrong = (labels < 0) | (labels >= len(LABELS))
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError(f"{path}: image {at} has class {labels[at]}; classes are 0 to {len(LABELS) - 1}")
