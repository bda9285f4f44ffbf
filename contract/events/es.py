"""Event Stream 2, type 1 (DVS): a header of 20 bytes, then events of five bytes and single bytes of time overflow.

An event's first byte holds the time since the previous event in seven bits, and the polarity; x and y follow,
little-endian. In place of an event, a byte 0xFF adds 127 µs, and 0xFE is a reset that has no effect. Specification:
https://github.com/neuromorphic-paris/event_stream
"""

import struct
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events.checks import check_count, check_events, unordered_events

MAGIC = b"Event Stream"
HEADER = struct.Struct("<12s3BBHH")
DVS = 1
EVENT_BYTES = 5
RESET, OVERFLOW = 0xFE, 0xFF
OVERFLOW_US = 127


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]`; time 0 is the start of the recording.

    Raises `InvalidEvents` for other versions and stream types, an incomplete event, or one outside the header's sensor.
    """
    if len(data) < HEADER.size:
        raise InvalidEvents(f"an Event Stream header has {HEADER.size} bytes, but the recording has {len(data)}")
    _, major, minor, patch, kind, width, height = HEADER.unpack_from(data)
    if major != 2:
        raise InvalidEvents(f"only version 2 of Event Stream is supported; this is {major}.{minor}.{patch}")
    if kind != DVS:
        raise InvalidEvents(f"only Event Stream type {DVS} (DVS) is supported; this is type {kind}")
    stream = np.frombuffer(data, np.uint8, offset=HEADER.size)
    # All other bytes belong to events, at most five to each: a lower bound before the stream is decoded.
    if (least := int(np.count_nonzero(stream < RESET)) // EVENT_BYTES) > max_events:
        check_count(least, max_events)
    starts, ends = _idle_runs(stream)
    idle = np.zeros(len(stream) + 1, np.int8)
    idle[starts] += 1
    idle[ends] -= 1
    content = stream[np.cumsum(idle[:-1], dtype=np.int8) == 0]
    if len(content) % EVENT_BYTES:
        raise InvalidEvents(f"the recording ends inside event {len(content) // EVENT_BYTES}")
    check_count(len(content) // EVENT_BYTES, max_events)
    events = content.reshape(-1, EVENT_BYTES)

    steps = (events[:, 0] >> 1).astype(np.int64)
    lengths = ends - starts
    event = (starts - (np.cumsum(lengths) - lengths)) // EVENT_BYTES  # the event after each run
    overflows = _count_in_runs(stream == OVERFLOW, starts, ends)
    np.add.at(steps, event[event < len(steps)], overflows[event < len(steps)] * OVERFLOW_US)
    places = events[:, 1:].copy().view("<u2")
    return check_events(
        unordered_events(np.cumsum(steps), places[:, 0], places[:, 1], events[:, 0] & 1), width, height, 2
    )


def _idle_runs(stream: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Start and end of each run of reset and overflow bytes between events.

    The same byte values inside an event are coordinates. Events begin every five bytes, and only runs between events
    shift that phase, by one for each byte. So the phase has to be followed through the runs of these values, in order.
    """
    edges = np.flatnonzero(np.diff(stream >= RESET, prepend=False, append=False)).astype(np.int32).reshape(-1, 2)
    starts, ends = edges[:, 0], edges[:, 1]
    begins = starts + (_phases(starts, ends) - starts) % EVENT_BYTES
    idle = begins < ends
    return begins[idle], ends[idle]


def _phases(starts: NDArray[np.int32], ends: NDArray[np.int32]) -> NDArray[np.int32]:
    """The phase of the events before each run: the position at which they begin, modulo 5; 0 before the first run.

    Recordings with long pauses have many runs: 5 million events in 500 s have 1.5 million. Followed one by one they
    take 0.8 s, three times as long as here, where about sqrt(N) pieces of the recording are followed side by side:
    first from each of the five phases, then from the one in which the previous piece ends.
    """
    pieces = isqrt(len(starts)) + 1
    steps = -(-len(starts) // pieces)
    runs = np.zeros((2, pieces * steps), np.int32)  # empty runs at the end, which change nothing
    runs[:, : len(starts)] = starts, ends
    columns = runs.reshape(2, pieces, steps).transpose(2, 0, 1).copy()
    outcomes = np.tile(np.arange(EVENT_BYTES, dtype=np.int32), (pieces, 1))
    for start, end in columns:
        outcomes = _after(outcomes, start[:, np.newaxis], end[:, np.newaxis])
    phase = np.zeros(pieces, np.int32)
    for piece in range(1, pieces):
        phase[piece] = outcomes[piece - 1, phase[piece - 1]]
    found = np.empty((steps, pieces), np.int32)
    for step, (start, end) in enumerate(columns):
        found[step] = phase
        phase = _after(phase, start, end)
    return found.T.ravel()[: len(starts)]


def _after(phase: NDArray[np.int32], start: NDArray[np.int32], end: NDArray[np.int32]) -> NDArray[np.int32]:
    """If an event would begin inside the run, it begins at the end of the run instead; otherwise the phase stays."""
    return np.where((phase - start) % EVENT_BYTES < end - start, end % EVENT_BYTES, phase)


def _count_in_runs(marks: NDArray[np.bool_], starts: NDArray[np.int32], ends: NDArray[np.int32]) -> NDArray[np.int32]:
    """The number of marks in each run."""
    if not len(starts):
        return starts
    bounds = np.stack([starts, ends], axis=1).ravel()
    return np.add.reduceat(np.append(marks, False), bounds, dtype=np.int32)[::2]
