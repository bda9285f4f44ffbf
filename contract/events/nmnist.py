"""N-MNIST and other ATIS recordings of 40-bit events, `.bin` or `.bs2`.

An event is five bytes: x; y; one bit of polarity and 23 bits of time in µs, big-endian. There is no header. y = 240
marks an overflow of the timer, which adds 2^13 µs to all later times (N-MNIST: Orchard et al., Frontiers in
Neuroscience 2015, and the reader published by its authors).
"""

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events.checks import check_count, unordered_events

EVENT_BYTES = 5
SUFFIXES = (".bin", ".bs2")
OVERFLOW_Y = 240
OVERFLOW_US = 2**13


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]`; `InvalidEvents` if the size is not a multiple of five."""
    if len(data) % EVENT_BYTES:
        raise InvalidEvents(
            f"an nmnist recording has 5 bytes per event; {len(data)} bytes end inside event {len(data) // EVENT_BYTES}"
        )
    rows = np.frombuffer(data, np.uint8).reshape(-1, EVENT_BYTES)
    overflow = rows[:, 1] == OVERFLOW_Y
    check_count(len(rows) - int(np.count_nonzero(overflow)), max_events)
    overflows = np.cumsum(overflow, dtype=np.int32)[~overflow]
    rows = rows[~overflow]
    fields = rows[:, 2:].astype(np.int64)
    time = (fields[:, 0] & 0x7F) << 16 | fields[:, 1] << 8 | fields[:, 2]
    return unordered_events(time + overflows * np.int64(OVERFLOW_US), rows[:, 0], rows[:, 1], rows[:, 2] >> 7)
