"""Your own images: a folder with one folder per class in `train/` and in `test/`."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from contract.card import InputSpec
from contract.errors import ServiceError
from contract.images import read_image
from training.data.dataset import Dataset, Images
from training.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
CHANNELS = (1, 3)
MAX_PIXELS = 2**31


def load_folder(folder: Path, shape: tuple[int, int, int]) -> Dataset:
    """Load `train/<label>/*` and `test/<label>/*` as images of `shape` (C, H, W), with C 1 (grey) or 3 (RGB).

    The labels are the names of the folders in `train/`, sorted; files are read in the order of their names. Raises
    `DataError` that names the file.
    """
    if shape[0] not in CHANNELS:
        raise DataError(f"{folder}: images have 1 or 3 channels, not {shape[0]}")
    labels = _class_names(folder / "train")
    unknown = set(_class_names(folder / "test")) - set(labels)
    if unknown:
        raise DataError(f"{folder}: classes {sorted(unknown)} are in test/ but not in train/")
    spec = InputSpec(kind="image", channels=shape[0], height=shape[1], width=shape[2])
    train, test = (_read_part(folder / part, labels, spec) for part in ("train", "test"))
    return Dataset("folder", labels, spec, train, test)


def _read(path: Path, spec: InputSpec) -> NDArray[np.uint8]:
    """Read one image as the service does, uint8 `[C, H, W]`; `DataError` for what is none."""
    try:
        return read_image(path.read_bytes(), spec, max_pixels=MAX_PIXELS).pixels
    except (OSError, ServiceError) as error:
        raise DataError(f"{path}: {error}") from error


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(f"{folder}: looked for a folder with one folder of images per class")
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if not names:
        raise DataError(f"{folder}: there is no folder of images in it")
    return names


def _read_part(folder: Path, labels: tuple[str, ...], spec: InputSpec) -> Images:
    pixels, ids = [], []
    for index, label in enumerate(labels):
        files = [path for path in sorted((folder / label).glob("*")) if path.suffix.lower() in SUFFIXES]
        if folder.name == "train" and not files:
            raise DataError(f"{folder / label}: there is no image in it")
        pixels += [_read(path, spec) for path in files]
        ids += [index] * len(files)
    if not pixels:
        raise DataError(f"{folder}: there is no image in it")
    return Images(torch.from_numpy(np.stack(pixels)), torch.tensor(ids))
