from typing import Any

import numpy as np
import pytest

from contract.errors import InvalidEvents, TooManyEvents
from contract.events import read_events


def event(t: int, x: int, y: int, p: int) -> bytes:
    """Write one event by hand, bit for bit."""
    return bytes([x, y, p << 7 | t >> 16, t >> 8 & 0xFF, t & 0xFF])


OVERFLOW = event(0, 0, 240, 0)


def decoded(data: bytes) -> Any:
    return read_events(data, "nmnist", max_events=1000).tolist()


def test_the_five_bytes_of_an_event_are_x_y_polarity_and_time() -> None:
    data = bytes([5, 33, 0b0000_0001, 0x02, 0x03]) + bytes([33, 0, 0b1111_1111, 0xFF, 0xFF])
    assert decoded(data) == [[0x010203, 5, 33, 0], [2**23 - 1, 33, 0, 1]]


def test_each_overflow_marker_moves_the_later_times_and_is_no_event() -> None:
    data = event(100, 1, 2, 0) + OVERFLOW + event(3, 4, 5, 1) + OVERFLOW + OVERFLOW + event(7, 8, 9, 1)
    assert decoded(data) == [[100, 1, 2, 0], [2**13 + 3, 4, 5, 1], [3 * 2**13 + 7, 8, 9, 1]]


def test_decoding_agrees_with_a_reading_event_by_event() -> None:
    random = np.random.default_rng(0)
    times = np.sort(random.integers(0, 2**23, 1000))
    written = np.column_stack(
        [times, random.integers(0, 34, 1000), random.integers(0, 34, 1000), random.integers(0, 2, 1000)]
    )
    assert decoded(b"".join(event(*row) for row in written.tolist())) == written.tolist()


def test_an_event_is_x_y_and_a_bit_of_polarity_ahead_of_23_bits_of_time() -> None:
    data = bytes([7, 15, 0x80, 0x02, 0x8E, 33, 0, 0x12, 0x34, 0x56])
    events = read_events(data, "nmnist", max_events=10)
    assert events.dtype.name == "int64"
    assert events.tolist() == [[654, 7, 15, 1], [0x123456, 33, 0, 0]]


def test_y_240_adds_two_to_the_13_to_later_times_and_is_no_event() -> None:
    data = bytes([1, 2, 0, 0, 9, 0, 240, 0, 0, 0, 3, 4, 0x80, 0, 1, 0, 240, 0, 0, 0, 0, 240, 0, 0, 0, 5, 6, 0, 0, 2])
    events = read_events(data, filename="sample.bin", max_events=3)
    assert events.tolist() == [[9, 1, 2, 0], [8193, 3, 4, 1], [3 * 8192 + 2, 5, 6, 0]]


@pytest.mark.parametrize("name", ["00001.bin", "1.bs2", "UPPER.BIN"])
def test_the_file_name_tells_the_format_that_has_no_header(name: str) -> None:
    assert read_events(bytes([1, 2, 0, 0, 9]), filename=name, max_events=1).tolist() == [[9, 1, 2, 0]]


def test_a_size_that_five_does_not_divide_is_refused() -> None:
    with pytest.raises(InvalidEvents, match="6 bytes end inside event 1"):
        read_events(bytes(6), "nmnist", max_events=10)


def test_overflow_marks_alone_are_no_events() -> None:
    with pytest.raises(InvalidEvents, match="no events"):
        read_events(bytes([0, 240, 0, 0, 0]), "nmnist", max_events=10)


def test_one_event_more_than_allowed_is_too_many() -> None:
    data = bytes([1, 2, 0, 0, 9]) * 3
    assert len(read_events(data, "nmnist", max_events=3)) == 3
    with pytest.raises(TooManyEvents, match="limit of 2 events"):
        read_events(data, "nmnist", max_events=2)
