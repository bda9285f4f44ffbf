"""Your own images: a folder with one folder per class in `train/` and in `test/`."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from service.card import InputSpec
from training.data.dataset import DataError, Dataset, Images

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
MODES = {1: "L", 3: "RGB"}


def load_folder(folder: Path, shape: tuple[int, int, int]) -> Dataset:
    """Load `train/<label>/*` and `test/<label>/*` as images of `shape` (C, H, W), with C 1 (grey) or 3 (RGB).

    The labels are the names of the folders in `train/`, sorted; files are read in the order of their names. Raises
    `DataError` that names the file.
    """
    if shape[0] not in MODES:
        raise DataError(f"{folder}: images have 1 or 3 channels, not {shape[0]}")
    labels = _class_names(folder / "train")
    unknown = set(_class_names(folder / "test")) - set(labels)
    if unknown:
        raise DataError(f"{folder}: classes {sorted(unknown)} are in test/ but not in train/")
    train, test = (_read_part(folder / part, labels, shape) for part in ("train", "test"))
    spec = InputSpec(kind="image", channels=shape[0], height=shape[1], width=shape[2])
    return Dataset("folder", labels, spec, train, test)


def read_image(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Read one image as uint8 of `shape` (C, H, W).

    The EXIF orientation is applied, transparency lies over black, 16 bits become 8 by dividing by 257, CMYK and
    palettes go through RGB, and the size is made with an antialiased bilinear resize that does not keep the aspect: the
    pixels that the service makes of the same file. Raises `DataError`.
    """
    channels, height, width = shape
    try:
        with Image.open(path, formats=FORMATS) as opened:
            image = _eight_bits(ImageOps.exif_transpose(opened)).convert(MODES[channels])
    except Exception as error:  # Pillow's decoders raise nearly anything on broken files
        raise DataError(f"{path}: not an image that can be read: {error}") from error
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return the image with 8 bits a channel and without transparency, in any colour mode."""
    if image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits have no range that could be scaled to 0..255")
    if image.mode.startswith("I;16"):
        return Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "black"), over).convert("RGB")
    return image if image.mode in ("1", "L", "RGB") else image.convert("RGB")


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(f"{folder}: looked for a folder with one folder of images per class")
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if not names:
        raise DataError(f"{folder}: there is no folder of images in it")
    return names


def _read_part(folder: Path, labels: tuple[str, ...], shape: tuple[int, int, int]) -> Images:
    pixels, ids = [], []
    for index, label in enumerate(labels):
        files = [path for path in sorted((folder / label).glob("*")) if path.suffix.lower() in SUFFIXES]
        if folder.name == "train" and not files:
            raise DataError(f"{folder / label}: there is no image in it")
        pixels += [read_image(path, shape) for path in files]
        ids += [index] * len(files)
    if not pixels:
        raise DataError(f"{folder}: there is no image in it")
    return Images(torch.from_numpy(np.stack(pixels)), torch.tensor(ids))
