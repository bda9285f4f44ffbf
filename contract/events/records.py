"""The records in which event libraries send live events: 13 or 8 bytes each, little-endian, without a header.

They are those of faery's UDP (https://github.com/aestream/faery, `docs/inputs/udp`): `t64_x16_y16_on8` and
`t32_x16_y15_on1`. The first is also what `tobytes()` gives of a packed NumPy array with fields t, x, y and p.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.events.checks import unordered_events
from contract.events.chunks import ChunkDecoder


class Events13(ChunkDecoder):
    """Records of 13 bytes: t in µs in 64 bits, x and y in 16 bits each, the polarity in 8."""

    WORD = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
    MOST = 1

    def _decode(self, words: NDArray[Any], max_events: int) -> NDArray[np.int64]:
        self._check_count(len(words), max_events)
        return unordered_events(words["t"], words["x"], words["y"], words["p"])


class Events8(ChunkDecoder):
    """Records of 8 bytes: t in µs in 32 bits, x in 16 bits, then the polarity in the lowest bit and y in 15 above it.

    The clock wraps every 71 minutes: time goes on where it falls by more than half its range, and goes back where it
    rises as far, because events may come a little out of order. It never goes back before the first round.
    """

    WORD = np.dtype([("t", "<u4"), ("x", "<u2"), ("yp", "<u2")])
    MOST = 1

    def __init__(self, *, at: int = 0, source: str = "stream") -> None:
        super().__init__(at=at, source=source)
        self._last: NDArray[np.int64] = np.empty(0, np.int64)
        self._rounds = 0

    def _decode(self, words: NDArray[Any], max_events: int) -> NDArray[np.int64]:
        self._check_count(len(words), max_events)
        if not len(words):
            return np.empty((0, 4), np.int64)
        clock = words["t"].astype(np.int64)
        moves = np.diff(clock, prepend=self._last if len(self._last) else clock[:1])
        rounds = self._rounds + np.cumsum((moves < -(2**31)).astype(np.int64) - (moves > 2**31))
        rounds -= np.minimum(np.minimum.accumulate(rounds), 0)
        self._last, self._rounds = clock[-1:], int(rounds[-1])
        return unordered_events(clock + (rounds << 32), words["x"], words["yp"] >> 1, words["yp"] & 1)
