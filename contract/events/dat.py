"""Prophesee DAT, version 2: '%' lines, a byte of event type, a byte of event size, then little-endian records.

A record is a 32-bit time in µs and a word with x in bits 0 to 13, y in 14 to 27 and the polarity in 28 to 31.
Specification: https://docs.prophesee.ai/stable/data/file_formats/dat.html
"""

import re

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events import prophesee
from contract.events.checks import check_count, unordered_events

CHANGE_TYPES = {0x00, 0x0C}  # Event2d and EventCD
RECORD_BYTES = 8


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]`; `InvalidEvents` for other versions, types and sizes of events, or an incomplete one."""
    lines = prophesee.header(data)
    start = len(lines) + 2
    version = re.search(rb"^% *Version +([0-9]+)", lines, re.MULTILINE)
    if version and version[1] != b"2":
        raise InvalidEvents(f"only version 2 of DAT is supported; the header says {version[1].decode()[:10]}")
    if len(data) < start:
        raise InvalidEvents(f"the recording ends at byte {len(data)}, before the event type and size")
    kind, size = data[start - 2 : start]
    if kind not in CHANGE_TYPES or size != RECORD_BYTES:
        raise InvalidEvents(
            f"byte {start - 2} says events of type {kind} with {size} bytes; supported are contrast changes "
            f"(type 0 or 12) with {RECORD_BYTES} bytes"
        )
    if (len(data) - start) % RECORD_BYTES:
        raise InvalidEvents(f"the recording ends inside event {(len(data) - start) // RECORD_BYTES}")
    records = np.frombuffer(data, "<u4", offset=start).reshape(-1, 2)
    check_count(len(records), max_events)
    place = records[:, 1]
    return unordered_events(records[:, 0], place & 0x3FFF, place >> 14 & 0x3FFF, place >> 28)
