"""Prophesee RAW of encoding EVT 2.0: '%' lines, then little-endian words of 32 bits.

Specification: https://docs.prophesee.ai/stable/data/encoding_formats/evt2.html
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from contract.events.checks import unordered_events
from contract.events.chunks import ChunkDecoder, read_whole
from contract.events.prophesee import body, first, unwrap

CD_ON = 1  # CD_OFF is 0
TIME_HIGH = 8
OTHERS = 14
RESERVED = ~np.isin(np.arange(16), [0, CD_ON, TIME_HIGH, 10, OTHERS, 15])  # 10 trigger, 15 continued


class Evt2(ChunkDecoder):
    """Words of EVT 2.0. Events before the first TIME_HIGH have no time and are skipped.

    Time has 34 bits, of which TIME_HIGH words carry the upper 28; it continues to count where it wraps.
    """

    WORD: ClassVar[np.dtype[Any]] = np.dtype("<u4")
    MOST = 1
    NAME: ClassVar[str] = "EVT 2.0"

    def __init__(self, *, at: int = 0, source: str = "stream") -> None:
        super().__init__(at=at, source=source)
        self._high = np.array(
            [OTHERS << 28], np.uint32
        )  # the last TIME_HIGH; until there is one, a word without effect
        self._wraps = 0

    def _decode(self, words: NDArray[Any], max_events: int) -> NDArray[np.int64]:
        return self._events(words, None, max_events)

    def _events(
        self, words: NDArray[np.uint32], pixels: NDArray[np.uint32] | None, max_events: int
    ) -> NDArray[np.int64]:
        """The events of words `[N]`: one for each, or one for each bit of its `pixels`, at x and to the right of it."""
        self._refuse(RESERVED[words >> 28], self.NAME)
        words = np.concatenate([self._high, words])
        kind = (words >> 28).astype(np.uint8)
        high = kind == TIME_HIGH
        change = kind <= CD_ON
        change[: first(high)] = False
        if pixels is not None:
            pixels = pixels[change[1:]]
        count = np.count_nonzero(change) if pixels is None else np.bitwise_count(pixels).sum(dtype=np.int64)
        self._check_count(int(count), max_events)

        highs = unwrap((words[high] & 0x0FFFFFFF).astype(np.int64), 28, self._wraps)
        if len(highs):
            self._high, self._wraps = words[high][-1:], int(highs[-1]) >> 28
        time = highs[np.cumsum(high, dtype=np.int32)[change] - 1] << 6
        words = words[change]
        time |= words >> 22 & 0x3F
        x = words >> 11 & 0x7FF
        if pixels is not None:
            bits = np.flatnonzero(np.unpackbits(pixels.astype("<u4").view(np.uint8), bitorder="little"))
            time, words, x = time[bits // 32], words[bits // 32], x[bits // 32] + bits % 32
        return unordered_events(time, x, words & 0x7FF, words >> 28)


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]` of a RAW file."""
    words, at, _ = body(data)
    return read_whole(Evt2(at=at, source="recording"), words, max_events)
