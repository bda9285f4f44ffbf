"""Prophesee RAW of encoding EVT 3.0: '%' lines, then little-endian words of 16 bits that change a state.

Specification: https://docs.prophesee.ai/stable/data/encoding_formats/evt3.html
"""

import numpy as np
from numpy.typing import NDArray

from contract.events.checks import check_count, events_array
from contract.events.prophesee import first, raw_words, refuse_words, unwrap

ADDR_Y, ADDR_X, VECT_BASE_X, VECT_12, VECT_8, TIME_LOW, TIME_HIGH = 0, 2, 3, 4, 5, 6, 8
RESERVED = np.isin(np.arange(16), [1, 9, 11, 12, 13])
WIDTH = np.zeros(16, np.uint8)  # how far a word moves the base of vectors
WIDTH[[VECT_12, VECT_8]] = 12, 8
PIXELS = np.zeros(16, np.uint16)  # the bits of a vector word that are pixels
PIXELS[[VECT_12, VECT_8]] = 0xFFF, 0xFF


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]`. Events before the first words for time and row are skipped."""
    words, start = raw_words(data, "<u2")
    kind = (words >> 12).astype(np.uint8)
    refuse_words(RESERVED[kind], start, words.itemsize, "EVT 3.0")
    single, base, rows = kind == ADDR_X, kind == VECT_BASE_X, kind == ADDR_Y

    pixels = words & PIXELS[kind]
    pixels[: first(base)] = 0
    pixels[single] = 1
    pixels[: max(first(kind == TIME_HIGH), first(rows))] = 0
    check_count(int(np.bitwise_count(pixels).sum(dtype=np.int64)), max_events)

    # The words that hold events, and for each event its word, as an index of those, and its bit.
    at = np.flatnonzero(pixels)
    word, bit = np.nonzero(pixels[at, np.newaxis] >> np.arange(12, dtype=np.uint16) & 1)
    # The word with x and polarity: the event's own, or the last base, which every vector since then has moved.
    source = np.where(single[at], at, _last(base, at))
    moved = np.cumsum(WIDTH[kind], dtype=np.int32)
    x = (words[source] & 0x7FF) + moved[at - 1] - moved[source]
    x[single[at]] = words[at[single[at]]] & 0x7FF
    y = words[_last(rows, at)] & 0x7FF
    return events_array(_times(words, kind, at)[word], x[word] + bit, y[word], (words[source] >> 11 & 1)[word])


def _last(marks: NDArray[np.bool_], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The index of the last mark up to each index `at`, or -1 if there is none."""
    where: NDArray[np.int64] = np.append(np.flatnonzero(marks), -1)
    return where[np.cumsum(marks, dtype=np.int32)[at] - 1]


def _times(words: NDArray[np.uint16], kind: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The time in µs at each index `at`: 12 high bits, which continue to count when they wrap, and 12 low bits.

    The low bits are 0 from a change of the high bits until the next TIME_LOW.
    """
    high = kind == TIME_HIGH
    where = np.flatnonzero(high)
    value = (words[where] & 0xFFF).astype(np.int64)
    changed = np.maximum.accumulate(np.where(np.diff(value, prepend=-1) != 0, where, 0))
    latest = np.cumsum(high, dtype=np.int32)[at] - 1
    low = _last(kind == TIME_LOW, at)
    time: NDArray[np.int64] = unwrap(value, 12)[latest] << 12
    return time | np.where(low > changed[latest], words[low] & 0xFFF, 0)
