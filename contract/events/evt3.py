"""Prophesee RAW of encoding EVT 3.0: '%' lines, then little-endian words of 16 bits that change a state.

Specification: https://docs.prophesee.ai/stable/data/encoding_formats/evt3.html
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.events.checks import unordered_events
from contract.events.chunks import ChunkDecoder, read_whole
from contract.events.prophesee import body, first, unwrap

ADDR_Y, ADDR_X, VECT_BASE_X, VECT_12, VECT_8, TIME_LOW, TIME_HIGH = 0, 2, 3, 4, 5, 6, 8
CONTINUED = 7
RESERVED = np.isin(np.arange(16), [1, 9, 11, 12, 13])
WIDTH = np.zeros(16, np.uint8)  # how far a word moves the base of vectors
WIDTH[[VECT_12, VECT_8]] = 12, 8
PIXELS = np.zeros(16, np.uint16)  # the bits of a vector word that are pixels
PIXELS[[VECT_12, VECT_8]] = 0xFFF, 0xFF

NOTHING = CONTINUED << 12  # a word without effect
STATE = 5  # words before a chunk: the time in two, the row, the base of vectors, and one for how far it has moved
OUTSIDE = 2**20  # so far to the right that every sensor has ended


class Evt3(ChunkDecoder):
    """Words of EVT 3.0. Events before the first words for time and row are skipped.

    The state between two chunks is kept as the words that lead to it, which go before those of the next chunk.
    """

    WORD = np.dtype("<u2")
    MOST = 12

    def __init__(self, *, at: int = 0, source: str = "stream") -> None:
        super().__init__(at=at, source=source)
        self._state = np.full(STATE, NOTHING, np.uint16)
        self._moved = 0
        self._wraps = 0

    def _decode(self, words: NDArray[Any], max_events: int) -> NDArray[np.int64]:
        self._refuse(RESERVED[words >> 12], "EVT 3.0")
        words = np.concatenate([self._state, words])
        kind = (words >> 12).astype(np.uint8)
        single, base, rows = kind == ADDR_X, kind == VECT_BASE_X, kind == ADDR_Y

        pixels = words & PIXELS[kind]
        pixels[: first(base)] = 0
        pixels[single] = 1
        pixels[: max(first(kind == TIME_HIGH), first(rows))] = 0
        self._check_count(int(np.bitwise_count(pixels).sum(dtype=np.int64)), max_events)

        # The words that hold events, and for each event its word, as an index of those, and its bit.
        at = np.flatnonzero(pixels)
        word, bit = np.nonzero(pixels[at, np.newaxis] >> np.arange(12, dtype=np.uint16) & 1)
        # The word with x and polarity: the event's own, or the last base, which every vector since then has moved.
        source = np.where(single[at], at, _last(base, at))
        widths = WIDTH[kind].astype(np.int32)
        widths[STATE - 1] = self._moved
        moved = np.cumsum(widths, dtype=np.int32)
        x = (words[source] & 0x7FF) + moved[at - 1] - moved[source]
        x[single[at]] = words[at[single[at]]] & 0x7FF
        y = words[_last(rows, at)] & 0x7FF
        times = self._times(words, kind, at)
        self._keep(words, rows, base, moved)
        return unordered_events(times[word], x[word] + bit, y[word], (words[source] >> 11 & 1)[word])

    def _times(self, words: NDArray[np.uint16], kind: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.int64]:
        """The time in µs at each index `at`: 12 high bits, which continue to count when they wrap, and 12 low bits.

        The low bits are 0 from a change of the high bits until the next TIME_LOW.
        """
        high = kind == TIME_HIGH
        where = np.flatnonzero(high)
        if not len(where):
            return np.empty(0, np.int64)
        value = (words[where] & 0xFFF).astype(np.int64)
        count = unwrap(value, 12, self._wraps)
        changed = np.maximum.accumulate(np.where(np.diff(value, prepend=-1) != 0, where, 0))
        latest = np.cumsum(high, dtype=np.int32)[at] - 1
        lows = kind == TIME_LOW
        low = _last(lows, at)
        time: NDArray[np.int64] = count[latest] << 12
        time |= np.where(low > changed[latest], words[low] & 0xFFF, 0)
        self._wraps = int(count[-1]) >> 12
        final = _final(lows)
        self._state[:2] = words[where[-1]], words[final] if final > changed[-1] else NOTHING
        return time

    def _keep(
        self, words: NDArray[np.uint16], rows: NDArray[np.bool_], base: NDArray[np.bool_], moved: NDArray[np.int32]
    ) -> None:
        """Keep the row, and the base of vectors, for the next chunk."""
        if (last := _final(rows)) >= 0:
            self._state[2] = words[last]
        if (last := _final(base)) >= 0:
            self._state[3] = words[last]
            self._moved = min(int(moved[-1] - moved[last]), OUTSIDE)


def _final(marks: NDArray[np.bool_]) -> int:
    """The index of the last mark, or -1 if there is none."""
    return len(marks) - 1 - first(marks[::-1])


def _last(marks: NDArray[np.bool_], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The index of the last mark up to each index `at`, or -1 if there is none."""
    where: NDArray[np.int64] = np.append(np.flatnonzero(marks), -1)
    return where[np.cumsum(marks, dtype=np.int32)[at] - 1]


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]` of a RAW file."""
    words, at, _ = body(data)
    return read_whole(Evt3(at=at, source="recording"), words, max_events)
