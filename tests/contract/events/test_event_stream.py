import struct

import numpy as np
import pytest

from contract.errors import InvalidEvents, TooManyEvents
from contract.events import read_events
from tests.contract.events.recordings import es


def test_an_event_is_seven_bits_of_elapsed_time_polarity_x_and_y() -> None:
    data = es(bytes([5 << 1 | 1, 7, 1, 9, 0, 126 << 1, 255, 0, 43, 1]))
    assert read_events(data, max_events=2).tolist() == [[5, 263, 9, 1], [131, 255, 299, 0]]


def test_an_overflow_adds_127_and_a_reset_nothing() -> None:
    body = bytes([0xFF, 0xFF, 3 << 1, 1, 0, 2, 0, 0xFE, 0xFF, 0xFE, 1 << 1 | 1, 3, 0, 4, 0, 0, 5, 0, 6, 0, 0xFF, 0xFF])
    assert read_events(es(body), max_events=3).tolist() == [[257, 1, 2, 0], [385, 3, 4, 1], [385, 5, 6, 0]]


def test_coordinates_that_look_like_overflows_are_coordinates() -> None:
    body = bytes([0xFF, 2, 0xFF, 0, 0xFE, 0, 0xFF, 4, 0xFE, 0, 0xFF, 0, 0xFF])
    assert read_events(es(body), max_events=2).tolist() == [[128, 255, 254, 0], [257, 254, 255, 0]]


def one_by_one(body: bytes) -> list[list[int]]:
    """The state machine of the specification, a byte at a time."""
    events = []
    t = at = 0
    while at < len(body):
        if body[at] >= 0xFE:
            t += 127 * (body[at] == 0xFF)
            at += 1
            continue
        first, x, y = struct.unpack_from("<BHH", body, at)
        t += first >> 1
        events.append([t, x, y, first & 1])
        at += 5
    return events


@pytest.mark.parametrize("seed", range(20))
def test_reading_at_once_equals_the_state_machine_of_the_specification(seed: int) -> None:
    generator = np.random.default_rng(seed)
    body = b""
    for _ in range(200):
        body += bytes(generator.choice([0xFE, 0xFF], generator.integers(0, 4)).tolist())
        x, y = generator.choice([0, 5, 253, 254, 255, 256], 2)
        body += struct.pack("<BHH", generator.integers(0, 0xFE), x, y)
    assert read_events(es(body), max_events=200).tolist() == one_by_one(body)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"Event Stream\2\0\0\1", "header has 20 bytes, but the recording has 16"),
        (es(b""), "no events"),
        (es(b"\xff\xfe\xff"), "no events"),
        (es(bytes(5) + bytes(4)), "ends inside event 1"),
        (es(bytes([2, 44, 1, 0, 0])), "event 0 is at x 300, y 0"),
        (es(bytes(5)).replace(b"Stream\2", b"Stream\1"), "this is 1.0.0"),
        (es(bytes(5)).replace(b"Stream\2\0\0\1", b"Stream\2\0\0\2"), "this is type 2"),
    ],
)
def test_a_broken_event_stream_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidEvents, match=message):
        read_events(data, max_events=100)


def test_an_event_stream_of_more_events_than_allowed_is_refused() -> None:
    with pytest.raises(TooManyEvents):
        read_events(es(bytes(15)), max_events=2)
