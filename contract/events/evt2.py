"""Prophesee RAW of encoding EVT 2.0: '%' lines, then little-endian words of 32 bits.

Specification: https://docs.prophesee.ai/stable/data/encoding_formats/evt2.html
"""

import numpy as np
from numpy.typing import NDArray

from contract.events.checks import check_count, events_array
from contract.events.prophesee import first, raw_words, refuse_words, unwrap

CD_ON = 1  # CD_OFF is 0
TIME_HIGH = 8
RESERVED = ~np.isin(np.arange(16), [0, CD_ON, TIME_HIGH, 10, 14, 15])  # 10 trigger, 14 others, 15 continued


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]`. Events before the first TIME_HIGH have no time and are skipped.

    Time has 34 bits, of which TIME_HIGH words carry the upper 28; it continues to count where it wraps.
    """
    words, start = raw_words(data, "<u4")
    kind = (words >> 28).astype(np.uint8)
    refuse_words(RESERVED[kind], start, words.itemsize, "EVT 2.0")
    high = kind == TIME_HIGH
    change = kind <= CD_ON
    change[: first(high)] = False
    check_count(int(np.count_nonzero(change)), max_events)
    highs = unwrap((words[high] & 0x0FFFFFFF).astype(np.int64), 28)
    time = highs[np.cumsum(high, dtype=np.int32)[change] - 1] << 6
    words = words[change]
    return events_array(time | (words >> 22 & 0x3F), words >> 11 & 0x7FF, words & 0x7FF, words >> 28)
