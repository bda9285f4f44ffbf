"""Event recordings in memory as time bins, a bit for each pixel of a binary bin."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.checks import check_labels
from training.errors import DataError


@dataclass(frozen=True)
class Binning:
    """How events become bins of `shape` (T, C, H, W).

    `encode` makes float32 `[T, B, C, H, W]` from events int64 `[N, 5]` (sample, t, x, y, p) of B recordings. The values
    are 0 and 1 if it is `binary`, otherwise whole numbers up to 255.
    """

    encode: Callable[[Tensor, int], Tensor]
    shape: tuple[int, int, int, int]
    binary: bool


@dataclass(frozen=True, eq=False)
class Bins:
    """Recordings in time bins, with class ids `labels` int64 `[N]`.

    `packed` is uint8 `[N, K]`: the values of a recording's bins `[T, C, H, W]` one after the other, in one bit each if
    they are `binary`, otherwise in one byte.
    """

    packed: NDArray[np.uint8]
    shape: tuple[int, int, int, int]
    binary: bool
    labels: Tensor

    def __post_init__(self) -> None:
        check_labels(self.labels, len(self.packed))
        size = _row_bytes(self.shape, self.binary)
        if self.packed.dtype != np.uint8 or self.packed.shape[1:] != (size,):
            raise DataError(f"bins {self.shape} must be uint8 [N, {size}], not {self.packed.dtype} {self.packed.shape}")

    @classmethod
    def pack(cls, recordings: Iterable[NDArray[np.int64]], labels: Sequence[int], binning: Binning) -> Self:
        """Hold the bins of recordings int64 `[M, 4]` (t, x, y, p), which need not be in memory together."""
        packed = [_packed(events, binning) for events in recordings]
        rows = np.array(packed, np.uint8).reshape(len(packed), _row_bytes(binning.shape, binning.binary))
        return cls(rows, binning.shape, binning.binary, torch.tensor(labels, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> Self:
        """The recordings at `indices` (int64 `[K]`), in that order."""
        return type(self)(self.packed[indices.numpy()], self.shape, self.binary, self.labels[indices])

    def unpack(self) -> Tensor:
        """The bins, uint8 `[N, T, C, H, W]`."""
        values = np.unpackbits(self.packed, axis=1, count=prod(self.shape)) if self.binary else self.packed
        return torch.from_numpy(values).reshape(len(self), *self.shape)

    def shuffled(self, seed: Sequence[int]) -> Self:
        """The same recordings with their bins in another order, drawn for each from `seed` and its place in the set."""
        rows = np.empty_like(self.packed)
        for index in range(len(self)):
            order = np.random.default_rng([*seed, index]).permutation(self.shape[0])
            bins = self.subset(torch.tensor([index])).unpack()[0].numpy()
            rows[index] = _bits(bins[order], self.binary)
        return type(self)(rows, self.shape, self.binary, self.labels)


def is_bins(samples: Tensor) -> bool:
    """Whether a batch of event recordings holds bins uint8 `[B, T, C, H, W]`, or else events int64 `[N, 5]`."""
    return samples.ndim == 5


def network_input(bins: Tensor) -> Tensor:
    """Network input float32 `[T, B, C, H, W]` of bins uint8 `[B, T, C, H, W]`."""
    return bins.transpose(0, 1).to(torch.float32)


def _packed(events: NDArray[np.int64], binning: Binning) -> NDArray[np.uint8]:
    rows = torch.from_numpy(np.column_stack([np.zeros(len(events), np.int64), events]))
    return _bits(binning.encode(rows, 1)[:, 0].numpy().astype(np.uint8), binning.binary)


def _row_bytes(shape: tuple[int, ...], binary: bool) -> int:
    return -(-prod(shape) // 8) if binary else prod(shape)


def _bits(bins: NDArray[np.generic], binary: bool) -> NDArray[np.uint8]:
    return np.packbits(bins.ravel().astype(bool)) if binary else bins.ravel().astype(np.uint8)
