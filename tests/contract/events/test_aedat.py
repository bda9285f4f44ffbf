import struct
from collections.abc import Callable

import lz4.frame  # type: ignore[import-untyped]
import pytest
import zstandard

from contract.errors import InvalidEvents, TooManyEvents
from contract.events import CAMERAS, read_events
from tests.contract.events.recordings import AEDAT3_HEADER, aedat3_packet, aedat4_events, aedat4_header, aedat4_packet

AEDAT2_HEADER = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n#\ta tab and an \xfcmlaut\r\n"
Pack = Callable[[bytes], bytes]
pack_lz4: Pack = lz4.frame.compress
pack_zstd: Pack = zstandard.ZstdCompressor().compress
SOME = [(5, 1, 2, 1), (9, 3, 4, 0)]
SOME_ROWS = [[5, 1, 2, 1], [9, 3, 4, 0]]


def test_aedat2_dvs128_addresses_hold_y_x_and_polarity() -> None:
    records = struct.pack(">IiIi", 127 << 8 | 3 << 1 | 1, 10, 5 << 8 | 127 << 1, 12)
    events = read_events(AEDAT2_HEADER + records, camera="dvs128", max_events=2)
    assert events.tolist() == [[10, 3, 127, 1], [12, 127, 5, 0]]


@pytest.mark.parametrize(("camera", "x", "y"), [("davis240", 239, 179), ("davis346", 345, 259), ("davis640", 639, 479)])
def test_aedat2_davis_addresses_hold_y_x_and_polarity(camera: str, x: int, y: int) -> None:
    records = struct.pack(">IiIi", y << 22 | x << 12 | 1 << 11, 7, 0, 8)
    events = read_events(AEDAT2_HEADER + records, camera=camera, max_events=2)
    assert events.tolist() == [[7, x, y, 1], [8, 0, 0, 0]]


def test_aedat2_leaves_out_frames_inertial_samples_and_external_signals() -> None:
    davis = struct.pack(">IiIiIi", 1 << 31 | 1 << 12, 1, 1 << 12 | 1 << 10, 2, 9 << 12, 3)
    assert read_events(AEDAT2_HEADER + davis, camera="davis240", max_events=1).tolist() == [[3, 9, 0, 0]]
    dvs = struct.pack(">IiIi", 1 << 15, 1, 9 << 1, 3)
    assert read_events(AEDAT2_HEADER + dvs, camera="dvs128", max_events=1).tolist() == [[3, 9, 0, 0]]


def test_aedat2_data_may_begin_with_the_mark_of_a_header_line() -> None:
    record = struct.pack(">II", 0x23 << 24 | 1 << 11, 4)
    assert record.startswith(b"#")
    expected = [[4, 0, 0x23 << 2, 1]]
    assert read_events(AEDAT2_HEADER + record, camera="davis346", max_events=1).tolist() == expected


def test_aedat2_data_after_the_last_header_line_may_be_printable() -> None:
    record = b"#  #   \n"
    data = AEDAT2_HEADER + b"#End Of ASCII Header\r\n" + record
    assert read_events(data, camera="dvs128", max_events=1).tolist() == [[0x2020200A, 0x11, 0x20, 1]]


@pytest.mark.parametrize("camera", [None, "", "davis", "DVS128"])
def test_aedat2_without_a_known_camera_is_refused_and_names_those_it_knows(camera: str | None) -> None:
    with pytest.raises(InvalidEvents, match="dvs128, davis240, davis346, davis640") as refused:
        read_events(AEDAT2_HEADER + bytes(8), camera=camera, max_events=1)
    assert refused.value.param == "camera"
    assert set(CAMERAS) == {"dvs128", "davis240", "davis346", "davis640"}


def test_aedat2_outside_the_named_camera_is_refused() -> None:
    data = AEDAT2_HEADER + struct.pack(">Ii", 300 << 12, 1)
    with pytest.raises(InvalidEvents, match="event 0 is at x 300, y 0"):
        read_events(data, camera="davis240", max_events=1)
    assert read_events(data, camera="davis346", max_events=1)[0, 1] == 300


def test_aedat2_cut_off_inside_a_record_is_refused() -> None:
    with pytest.raises(InvalidEvents, match="end inside record 1"):
        read_events(AEDAT2_HEADER + bytes(8 + 3), camera="dvs128", max_events=5)


def test_aedat3_packets_hold_valid_polarity_events_with_their_overflow() -> None:
    invalid = struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 2, 2, 1) + struct.pack("<IiIi", 9 << 17, 6, 6 << 17 | 1, 7)
    special = struct.pack("<hhiiiiii", 0, 1, 8, 4, 0, 1, 1, 1) + bytes(8)
    data = AEDAT3_HEADER + aedat3_packet([(5, 345, 259, 1)]) + special + invalid
    data += aedat3_packet([(1, 32767, 0, 0)], overflow=2)
    expected = [[5, 345, 259, 1], [7, 6, 0, 0], [2 * 2**31 + 1, 32767, 0, 0]]
    assert read_events(data, max_events=3).tolist() == expected


def test_aedat3_packets_of_room_for_more_events_than_they_hold_are_read() -> None:
    roomy = struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 3, 1, 1) + struct.pack("<Ii", 4 << 17 | 1, 2) + b"\xff" * 16
    assert read_events(AEDAT3_HEADER + roomy, max_events=9).tolist() == [[2, 4, 0, 0]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (AEDAT3_HEADER, "no events"),
        (b"#!AER-DAT3.1\r\n#Format: RAW\r\n", "lacks the line '#!END-HEADER'"),
        (AEDAT3_HEADER.replace(b"RAW", b"Serial-TS"), "compressed"),
        (AEDAT3_HEADER + bytes(27), r"inside the packet header at byte 61"),
        (AEDAT3_HEADER + bytes(28), r"the packet header at byte 61 is not"),
        (AEDAT3_HEADER + aedat3_packet(SOME)[:-1], r"inside the packet at byte 61"),
        (AEDAT3_HEADER + aedat3_packet(SOME) + aedat3_packet(SOME, source=2), "2 sources"),
        (AEDAT3_HEADER + aedat3_packet(SOME) + aedat3_packet(SOME), "event 2: its time 5 µs is earlier than"),
        (AEDAT3_HEADER + struct.pack("<hhiiiiii", 1, 1, 16, 4, 0, 1, 1, 1) + bytes(16), "a polarity event has 8 bytes"),
    ],
)
def test_a_broken_aedat3_recording_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidEvents, match=message):
        read_events(data, max_events=100)


def test_aedat3_counts_events_over_all_packets() -> None:
    data = AEDAT3_HEADER + aedat3_packet(SOME) + aedat3_packet([(10, 0, 0, 0)])
    assert len(read_events(data, max_events=3)) == 3
    with pytest.raises(TooManyEvents):
        read_events(data, max_events=2)


@pytest.mark.parametrize(
    ("compression", "pack"), [(0, bytes), (1, pack_lz4), (2, pack_lz4), (3, pack_zstd), (4, pack_zstd)]
)
def test_aedat4_packets_are_unpacked_one_by_one(compression: int, pack: Pack) -> None:
    data = aedat4_header(compression)
    data += aedat4_packet(pack(aedat4_events(SOME)))
    data += aedat4_packet(pack(aedat4_events([], identifier=b"IMUS")), stream=2)
    data += aedat4_packet(pack(aedat4_events([])))
    data += aedat4_packet(pack(aedat4_events([(2**40, 345, 259, 1)])))
    assert read_events(data, max_events=3).tolist() == [*SOME_ROWS, [2**40, 345, 259, 1]]


def test_aedat4_stops_at_the_table_that_ends_the_file() -> None:
    packet = aedat4_packet(aedat4_events(SOME))
    end = len(aedat4_header(0)) + len(packet)
    data = aedat4_header(0, end) + packet + b"\xff\xff a table of packets"
    assert read_events(data, max_events=9).tolist() == SOME_ROWS


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (aedat4_header(0), "no events"),
        (aedat4_header(0)[:30], "says it has 45 bytes, but 12 follow"),
        (b"#!AER-DAT4.0\r\n", "broken or cut off"),
        (aedat4_header(9), "compression 9"),
        (aedat4_header(0, 10_000), "end of the packets at byte 10000"),
        (aedat4_header(0) + b"\0\0\0", "inside the packet header at byte"),
        (aedat4_header(0) + aedat4_packet(aedat4_events(SOME))[:-1], "says it has 64 bytes, but 63 follow"),
        (aedat4_header(1) + aedat4_packet(aedat4_events(SOME)), "cannot be unpacked"),
        (aedat4_header(3) + aedat4_packet(aedat4_events(SOME)), "cannot be unpacked"),
        (aedat4_header(1) + aedat4_packet(pack_lz4(aedat4_events(SOME))[:20]), "cannot be unpacked"),
        (aedat4_header(0) + aedat4_packet(aedat4_events(SOME)[:-4]), "ends inside its 2 events"),
        (aedat4_header(0) + aedat4_packet(aedat4_events(SOME), 0) + aedat4_packet(aedat4_events(SOME), 1), "2 event"),
        (aedat4_header(0) + aedat4_packet(aedat4_events([(4, -1, 0, 0)])), "event 0: x is -1"),
        (aedat4_header(0) + aedat4_packet(aedat4_events([(4, 0, 0, 2)])), "event 0: p is 2"),
    ],
)
def test_a_broken_aedat4_recording_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidEvents, match=message):
        read_events(data, max_events=100)


@pytest.mark.parametrize(("compression", "pack"), [(1, pack_lz4), (3, pack_zstd)])
def test_aedat4_packets_that_would_unpack_to_more_than_allowed_are_refused_by_their_count(
    compression: int, pack: Pack
) -> None:
    many = aedat4_events([(0, 0, 0, 0)] * 200_000)
    data = aedat4_header(compression) + aedat4_packet(pack(many))
    assert len(data) < len(many) // 100
    with pytest.raises(TooManyEvents):
        read_events(data, max_events=199_999)
    assert len(read_events(data, max_events=200_000)) == 200_000
