"""Event recordings in memory: every event as it was recorded, in few bytes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.checks import check_labels
from training.errors import DataError

NARROW = (np.uint8, np.uint16, np.uint32)

Column = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Recordings:
    """Event recordings with class ids `labels` int64 `[N]`.

    An event has a time t (µs, never falling within a recording), x, y and a polarity p (0 or 1). `columns` are these
    four, each in the narrowest type for its values: seven bytes per event of N-MNIST. Recording i has `lengths[i]`
    events from row `starts[i]` on, both int64 `[N]`. Subsets share the columns.
    """

    columns: tuple[Column, ...]
    starts: Tensor
    lengths: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        check_labels(self.labels, len(self.lengths))

    @classmethod
    def of(cls, events: Tensor, offsets: Tensor, labels: Tensor) -> Self:
        """Recordings of `events` int64 `[M, 4]` (t, x, y, p), of which i is `events[offsets[i]:offsets[i + 1]]`."""
        if events.dtype != torch.int64 or events.ndim != 2 or events.shape[1] != 4:
            raise DataError(f"events must be int64 [M, 4], not {events.dtype} {list(events.shape)}")
        if int(offsets[0]) != 0 or int(offsets[-1]) != len(events) or bool((offsets.diff() < 0).any()):
            raise DataError(f"offsets must rise from 0 to the number of events, {len(events)}")
        return cls(tuple(_narrow(column) for column in events.numpy().T), offsets[:-1], offsets.diff(), labels)

    @classmethod
    def join(cls, recordings: Iterable[NDArray[np.int64]], labels: Sequence[int]) -> Self:
        """Recordings int64 `[M, 4]` one after another, as they come, so that few are in memory in full width."""
        pieces: tuple[list[Column], ...] = ([], [], [], [])
        counts = []
        for events in recordings:
            counts.append(len(events))
            for column, piece in zip(events.T, pieces, strict=True):
                piece.append(_narrow(column))
        columns = []
        for piece in pieces:
            columns.append(np.concatenate([np.empty(0, np.uint8), *piece]))
            piece.clear()  # so that no column stays in memory twice
        lengths = torch.tensor(counts, dtype=torch.int64)
        return cls(tuple(columns), lengths.cumsum(0) - lengths, lengths, torch.tensor(labels, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> NDArray[np.int64]:
        """The events of one recording, int64 `[M, 4]`."""
        rows = slice(int(self.starts[index]), int(self.starts[index] + self.lengths[index]))
        return np.stack([column[rows].astype(np.int64) for column in self.columns], 1)

    def subset(self, indices: Tensor) -> Self:
        """The recordings at `indices` (int64 `[K]`), in that order."""
        return type(self)(self.columns, self.starts[indices], self.lengths[indices], self.labels[indices])

    def windows(self, count: int) -> list[Self]:
        """The recordings cut into `count` equal parts of their time: as many sets of recordings, the first parts first.

        A part may have no events. The last event of a recording is in its last part.
        """
        edges = np.zeros((count + 1, len(self)), dtype=np.int64)
        for index in range(len(self)):
            start, length = int(self.starts[index]), int(self.lengths[index])
            times = self.columns[0][start : start + length].astype(np.int64)
            span = int(times[-1] - times[0]) if length else 0
            parts = [max(1, -(-span * part // count)) for part in range(1, count)]
            edges[1:-1, index] = np.searchsorted(times - times[:1], parts)
            edges[-1, index] = length
        starts, lengths = (torch.from_numpy(each) for each in (edges[:-1], np.diff(edges, axis=0)))
        return [
            type(self)(self.columns, self.starts + start, length, self.labels)
            for start, length in zip(starts, lengths, strict=True)
        ]

    @property
    def offsets(self) -> Tensor:
        """Where each recording begins in what `unpack` returns, and where the last one ends: int64 `[N + 1]`."""
        return torch.cat([self.lengths.new_zeros(1), self.lengths.cumsum(0)])

    def unpack(self) -> Tensor:
        """The events of all recordings, one after another, int64 `[M, 4]`."""
        # Row j of the result belongs to the recording that covers j: shift it from its new start to its old one.
        shift = (self.starts - self.offsets[:-1]).repeat_interleave(self.lengths)
        rows = (torch.arange(len(shift)) + shift).numpy()
        return torch.stack([torch.from_numpy(column[rows].astype(np.int64)) for column in self.columns], 1)


def _narrow(column: NDArray[np.int64]) -> Column:
    """The column in the narrowest type that holds its values."""
    low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
    fitting = next((kind for kind in NARROW if low >= 0 and high <= np.iinfo(kind).max), np.int64)
    return column.astype(fitting)
