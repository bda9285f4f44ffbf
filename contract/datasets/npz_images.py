"""The arrays `x` and `y` of an `.npz`, read from its members without unpickling anything."""

from collections.abc import Iterator
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.datasets.zip_archive import Archive, shown
from contract.errors import ArchiveTooLarge, InvalidDataset, InvalidEvents
from contract.events.npy import ArrayHeader, array_header

X, Y = "x.npy", "y.npy"
MAX_CLASS_ID = 9_999
MAX_LABELS_BYTES = 256 * 1024 * 1024

_HEADER_BYTES = 1024


class Arrays:
    """Images `x` and labels `y`, one for each of `samples`; with `class_ids` the labels are integers in decimals."""

    def __init__(self, archive: Archive, *, max_samples: int, max_pixels: int) -> None:
        if missing := [name for name in (X, Y) if name not in archive.names]:
            raise InvalidDataset(f"the .npz must hold the arrays x and y; {missing[0].removesuffix('.npy')} is missing")
        self._archive = archive
        self._shape, _, self._fortran_order, self._start = _header_of_x(archive, max_samples, max_pixels)
        self.samples = self._shape[0]
        self._y = _labels(archive, self.samples)
        self.class_ids = self._y.dtype.kind != "U"

    @property
    def labels(self) -> list[str]:
        """The label of each sample."""
        return list(map(str, self._y.tolist()))

    @cached_property
    def classes(self) -> dict[str, int]:
        """The number of samples of each label, sorted by label."""
        values, counts = np.unique(self._y, return_counts=True)
        return dict(sorted(zip(map(str, values.tolist()), counts.tolist(), strict=True)))

    @property
    def channels(self) -> int:
        """Number of channels of the images."""
        return self._shape[1] if len(self._shape) == 4 else 1

    def check(self) -> None:
        """Read all of x, which checks its length and its checksum."""
        with self._archive.stream(X) as stream:
            for _ in self._archive.pieces(X, stream):
                pass

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """The images in order, uint8 `[C, H, W]`. Only one at a time is in memory, unless x is in Fortran order."""
        shape = (self.channels, *self._shape[-2:])
        if self._fortran_order:
            values = _array(self._archive.read(X, self._archive.size(X))).reshape(self._shape, order="F")
            yield from values.reshape(-1, *shape)
            return
        with self._archive.stream(X) as stream:
            stream.read(self._start)
            for _ in range(self._shape[0]):
                yield np.frombuffer(stream.read(prod(shape)), np.uint8).reshape(shape)
            for _ in self._archive.pieces(X, stream):  # nothing is left; reading the end checks length and checksum
                pass


def _header_of_x(archive: Archive, max_samples: int, max_pixels: int) -> ArrayHeader:
    header = _header(archive, X)
    shape, dtype = header.shape, header.dtype
    if dtype != np.uint8 or len(shape) not in (3, 4):
        raise InvalidDataset(f"x must be uint8 [N, H, W] or [N, C, H, W]; it is {dtype} {list(shape)}")
    if min(shape) == 0:
        raise InvalidDataset(f"x has no pixels; its shape is {list(shape)}")
    if shape[0] > max_samples:
        raise ArchiveTooLarge(f"x has {shape[0]} images; the limit is {max_samples}")
    if shape[-1] * shape[-2] > max_pixels:
        raise ArchiveTooLarge(
            f"the images of x have {shape[-1]} x {shape[-2]} pixels; the limit is {max_pixels} pixels"
        )
    return header


def _labels(archive: Archive, samples: int) -> NDArray[Any]:
    shape, dtype, *_ = _header(archive, Y)
    if dtype.kind not in "iuU":
        raise InvalidDataset(f"y must be integers (class ids) or strings (labels), not {dtype}")
    if shape != (samples,):
        raise InvalidDataset(f"y must have one value for each of the {samples} images of x; its shape is {list(shape)}")
    y = _array(archive.read(Y, MAX_LABELS_BYTES))
    if dtype.kind != "U":
        bad = (y < 0) | (y > MAX_CLASS_ID)
        if bad.any():
            at = int(bad.argmax())
            raise InvalidDataset(f"y[{at}] is {y[at]}; class ids are 0 to {MAX_CLASS_ID}")
    return y


def _header(archive: Archive, name: str) -> ArrayHeader:
    """The header of an array, which agrees with the member's size."""
    with archive.stream(name) as stream:
        head = stream.read(_HEADER_BYTES)
    try:
        return array_header(head, archive.size(name))
    except InvalidEvents as error:
        raise InvalidDataset(f"{shown(name)}: {error.message}") from error


def _array(content: bytes) -> NDArray[Any]:
    header = array_header(content)
    return np.frombuffer(content, header.dtype, offset=header.start)
