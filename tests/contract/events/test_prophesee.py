import struct

import pytest

from contract.errors import InvalidEvents, TooManyEvents
from contract.events import read_events
from tests.contract.events.recordings import evt2, evt3, evt21

DAT_HEADER = b"% Data file containing CD events\n% Version 2\n% Date 2020-09-14 14:18:29\n"


def test_dat_records_hold_time_x_y_and_polarity() -> None:
    data = (
        DAT_HEADER + bytes([0x0C, 8]) + struct.pack("<IIII", 7, 16383 | 9 << 14 | 1 << 28, 2**32 - 1, 5 | 16383 << 14)
    )
    assert read_events(data, max_events=2).tolist() == [[7, 16383, 9, 1], [2**32 - 1, 5, 16383, 0]]


def test_dat_without_a_telling_header_needs_its_name_or_format() -> None:
    data = b"% Height 4\n\x00\x08" + struct.pack("<II", 7, 3)
    assert read_events(data, filename="cars.dat", max_events=1).tolist() == [[7, 3, 0, 0]]
    assert read_events(data, "dat", max_events=1).tolist() == [[7, 3, 0, 0]]
    with pytest.raises(InvalidEvents, match="no header that identifies") as refused:
        read_events(data, filename="cars.raw", max_events=1)
    assert refused.value.param == "format"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DAT_HEADER, "before the event type and size"),
        (DAT_HEADER + b"\x0c\x08", "no events"),
        (DAT_HEADER + b"\x0e\x08" + bytes(8), "events of type 14 with 8 bytes"),
        (DAT_HEADER + b"\x0c\x10" + bytes(16), "events of type 12 with 16 bytes"),
        (DAT_HEADER + b"\x0c\x08" + bytes(9), "ends inside event 1"),
        (DAT_HEADER.replace(b"Version 2", b"Version 1") + b"\x00\x08" + bytes(8), "only version 2"),
        (DAT_HEADER + b"\x0c\x08" + struct.pack("<IIII", 2, 0, 1, 0), "event 1: its time 1 µs is earlier than"),
        (DAT_HEADER + b"\x0c\x08" + struct.pack("<II", 2, 3 << 28), "event 0: p is 3"),
    ],
)
def test_a_broken_dat_recording_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidEvents, match=message):
        read_events(data, max_events=100)


def test_evt2_time_is_the_last_high_word_and_six_bits() -> None:
    data = evt2(8 << 28 | 3, 1 << 28 | 63 << 22 | 2047 << 11 | 5, 0x0 << 28 | 63 << 22 | 1 << 11, 8 << 28 | 4, 1 << 28)
    assert read_events(data, max_events=3).tolist() == [[255, 2047, 5, 1], [255, 1, 0, 0], [256, 0, 0, 1]]


def test_evt2_time_counts_on_where_its_34_bits_wrap() -> None:
    data = evt2(8 << 28 | 0x0FFFFFFF, 1 << 28 | 63 << 22, 8 << 28, 1 << 28 | 2 << 22)
    assert read_events(data, max_events=2)[:, 0].tolist() == [2**34 - 1, 2**34 + 2]


def test_evt2_leaves_out_triggers_and_what_comes_before_the_first_time() -> None:
    data = evt2(1 << 28, 10 << 28 | 1, 8 << 28 | 1, 14 << 28, 15 << 28, 7 << 11)
    assert read_events(data, max_events=1).tolist() == [[64, 7, 0, 0]]


def test_the_newer_header_names_the_encoding_in_its_format_line() -> None:
    data = b"% camera_integration_name x\n% format EVT2;height=480;width=640\n% end\n%" + b"\0\0\x80\0\0\0\x10"
    assert read_events(data, max_events=1).tolist() == [[0x25 << 6, 0, 0, 1]]
    data = b"% format EVT3;height=720;width=1280\n% end\n" + struct.pack("<3H", 0x8001, 0x0002, 0x2803)
    assert read_events(data, max_events=1).tolist() == [[4096, 3, 2, 1]]


# The words that the specification gives for x = 32 and 64: OFF at 64 + 3 µs, ON at 64 + 63 µs, a trigger between them.
EVT21_WORDS = (
    0x8000_0001_0000_0000,
    0x00C1_0005_8000_0001,
    0xA100_0001_0000_0000,
    0x1FC2_07FF_0000_0002,
)
EVT21_EVENTS = [[67, 32, 5, 0], [67, 63, 5, 0], [127, 65, 2047, 1]]


@pytest.mark.parametrize("order", ["little", "legacy"])
def test_evt21_words_hold_up_to_32_pixels_of_a_row(order: str) -> None:
    assert read_events(evt21(*EVT21_WORDS, order=order), max_events=3).tolist() == EVT21_EVENTS
    with pytest.raises(TooManyEvents):
        read_events(evt21(*EVT21_WORDS, order=order), max_events=2)


def test_evt21_bytes_come_as_the_specification_says_for_either_camera() -> None:
    for order, first in (("little", "0000000001000080"), ("legacy", "0100008000000000")):
        assert evt21(*EVT21_WORDS, order=order).partition(b"% end\n")[2][:8].hex() == first


def test_evt21_without_a_byte_order_is_little_endian() -> None:
    body = evt21(*EVT21_WORDS).partition(b"% end\n")[2]
    for header in (b"% evt 2.1\n", b"% format EVT21;height=320;width=320\n", b"% evt 2.1\n% endianness little\n"):
        assert read_events(header + body, max_events=3).tolist() == EVT21_EVENTS
    assert read_events(body, "evt21", max_events=3).tolist() == EVT21_EVENTS
    legacy = evt21(*EVT21_WORDS, order="legacy").partition(b"% end\n")[2]
    assert read_events(b"% evt 2.1\n% endianness legacy\n" + legacy, max_events=3).tolist() == EVT21_EVENTS


def test_evt21_leaves_out_what_comes_before_the_first_time_and_counts_on_where_34_bits_wrap() -> None:
    data = evt21(1 << 60 | 1, 8 << 60 | 0x0FFFFFFF << 32, 1 << 60 | 63 << 54 | 1, 8 << 60, 1 << 60 | 2 << 54 | 1)
    assert read_events(data, max_events=2)[:, 0].tolist() == [2**34 - 1, 2**34 + 2]


def test_evt3_single_events_take_row_and_time_from_the_words_before() -> None:
    data = evt3(0x8002, 0x6003, 0x0005, 0x2804, 0x2007, 0x0806, 0x6004, 0x27FF)
    t = 2 << 12 | 3
    assert read_events(data, max_events=3).tolist() == [[t, 4, 5, 1], [t, 7, 5, 0], [t + 1, 2047, 6, 0]]


def test_evt3_vectors_follow_their_base_which_moves_on() -> None:
    # Base 100 ON; pixels 0 and 11 of twelve; a single event between; pixel 7 of eight; base 3 OFF; pixel 1.
    data = evt3(0x8000, 0x0001, 0x3864, 0x4801, 0x2009, 0x5F80, 0x5001, 0x3003, 0x4002)
    assert read_events(data, max_events=6).tolist() == [
        [0, 100, 1, 1],
        [0, 111, 1, 1],
        [0, 9, 1, 0],
        [0, 119, 1, 1],
        [0, 120, 1, 1],
        [0, 4, 1, 0],
    ]


def test_evt3_empty_vectors_move_the_base_too() -> None:
    assert read_events(evt3(0x8000, 0x0000, 0x300A, 0x4000, 0x5000, 0x4001), max_events=1)[0].tolist() == [0, 30, 0, 0]


def test_evt3_time_counts_on_where_its_24_bits_wrap() -> None:
    data = evt3(0x8FFF, 0x6FFF, 0x0000, 0x2001, 0x8000, 0x6005, 0x2001, 0x8FFF, 0x6000, 0x2001, 0x8001, 0x2001)
    expected = [2**24 - 1, 2**24 + 5, 2**24 + (0xFFF << 12), 2**25 + (1 << 12)]
    assert read_events(data, max_events=4)[:, 0].tolist() == expected


def test_evt3_low_time_is_zero_from_a_new_high_word_and_stays_on_a_repeated_one() -> None:
    data = evt3(0x8001, 0x6FFF, 0x0000, 0x2001, 0x8001, 0x2001, 0x8002, 0x2001, 0x6001, 0x2001)
    assert read_events(data, max_events=4)[:, 0].tolist() == [0x1FFF, 0x1FFF, 0x2000, 0x2001]


def test_evt3_leaves_out_what_has_no_time_or_place_yet() -> None:
    data = evt3(0x2001, 0x0003, 0x2002, 0x8001, 0x4FFF, 0x2803, 0xA001, 0x7000, 0xE000, 0xF000)
    assert read_events(data, max_events=1).tolist() == [[4096, 3, 3, 1]]
    with pytest.raises(InvalidEvents, match="no events"):
        read_events(evt3(0x6001, 0x0001, 0x2001), max_events=1)


def test_evt3_counts_the_pixels_of_vectors() -> None:
    data = evt3(0x8000, 0x0000, 0x3000, 0x4FFF, 0x5FFF)
    assert read_events(data, max_events=20)[:, 1].tolist() == list(range(20))
    with pytest.raises(TooManyEvents):
        read_events(data, max_events=19)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (evt2(8 << 28, 2 << 28), "word at byte 14 has a type that does not exist in EVT 2.0"),
        (evt3(0x8000, 0x0000, 0x9000), "word at byte 14 has a type that does not exist in EVT 3.0"),
        (evt2(8 << 28) + b"\0\0", "ends inside the 4-byte word at byte 14"),
        (evt3(0x8000) + b"\0", "ends inside the 2-byte word at byte 12"),
        (evt3(0x8002, 0x0000, 0x2000, 0x8001, 0x2000), "event 1: its time 4096 µs is earlier than"),
        (evt21(8 << 60, 2 << 60), "word at byte 78 has a type that does not exist in EVT 2.1"),
        (evt21(8 << 60)[:-4], "ends inside the 8-byte word at byte 70"),
        (evt21(8 << 60), "no events"),
        (evt21(8 << 60, 1).replace(b"=little", b"=big"), "only little-endian RAW files are supported; .* says big"),
        (b"% format EVT4\n" + bytes(8), "says evt4"),
        (b"% evt 3.0\n% endianness big\n" + bytes(8), "only little-endian"),
    ],
)
def test_a_broken_raw_recording_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidEvents, match=message):
        read_events(data, max_events=100)
