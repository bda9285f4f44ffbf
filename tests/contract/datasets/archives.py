"""Data sets for tests, as their owners upload them."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.datasets.inspect import Summary, inspect
from contract.datasets.layout import Limits
from contract.errors import InvalidDataset, ServiceError

LIMITS = Limits(max_unpacked_bytes=100_000_000, max_samples=1000, max_image_pixels=10_000, max_events=1000)
WIDE_LIMITS = replace(LIMITS, max_samples=100_000, max_unpacked_bytes=10**10)


def image(seed: int = 0, size: tuple[int, ...] = (9, 7, 3), format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8)).save(stream, format)
    return stream.getvalue()


def recording(*events: tuple[int, int, int, int]) -> bytes:
    """An N-MNIST file of events (t, x, y, p)."""
    return b"".join(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]) for t, x, y, p in events)


RECORDING = recording((5, 1, 2, 1), (9, 3, 4, 0))
IMAGES = {f"{label}/{index}.png": image(index) for label in ("cat", "dog") for index in range(3)}
RECORDINGS = {f"{label}/{index}.bin": RECORDING for label in ("left", "right") for index in range(2)}


def packed(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def saved(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def look(path: Path, **limits: int) -> Summary:
    """Inspect a data set, with these limits in place of the usual ones."""
    return inspect(path, path.name, Limits(**vars(LIMITS) | limits))


def refused(path: Path, kind: type[ServiceError] = InvalidDataset, **limits: int) -> str:
    """The message of the error that inspection raises, which shows nothing of where the file lies."""
    with pytest.raises(kind) as caught:
        look(path, **limits)
    assert type(caught.value) is kind
    assert str(path.parent) not in caught.value.message
    return caught.value.message
