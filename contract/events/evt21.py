"""Prophesee RAW of encoding EVT 2.1: '%' lines, then words of 64 bits, each for up to 32 pixels of a row.

The upper half of a word is laid out as a word of EVT 2.0; the bits of the lower half are the pixels from x on, to the
right. The halves come in one of two orders: the lower one first (`endianness=little`, as GenX320 sends them), or the
upper one first (`endianness=legacy`, as IMX636 does); each half is little-endian in both.
Specification: https://docs.prophesee.ai/stable/data/encoding_formats/evt21.html
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.events.chunks import read_whole
from contract.events.evt2 import Evt2
from contract.events.prophesee import body


class Evt21(Evt2):
    """Words of EVT 2.1 with the lower half first, or with `legacy` the upper half."""

    WORD = np.dtype([("first", "<u4"), ("second", "<u4")])
    MOST = 32
    NAME = "EVT 2.1"

    def __init__(self, *, legacy: bool = False, at: int = 0, source: str = "stream") -> None:
        super().__init__(at=at, source=source)
        self._upper, self._lower = ("first", "second") if legacy else ("second", "first")

    def _decode(self, words: NDArray[Any], max_events: int) -> NDArray[np.int64]:
        return self._events(words[self._upper], words[self._lower], max_events)


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]` of a RAW file; its header says which half of a word is first."""
    words, at, order = body(data)
    return read_whole(Evt21(legacy=order == "legacy", at=at, source="recording"), words, max_events)
