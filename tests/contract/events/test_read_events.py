import pytest

from contract.errors import InvalidEvents, InvalidParameter
from contract.events import FORMATS, read_events
from tests.contract.events.recordings import AEDAT3_HEADER, aedat3_packet, aedat4_header, es, evt2, evt3, evt21

CSV = b"t,x,y,p\n1,2,3,1\n"


def test_the_header_wins_over_the_file_name() -> None:
    assert read_events(CSV, filename="recording.bin", max_events=1).tolist() == [[1, 2, 3, 1]]
    data = AEDAT3_HEADER + aedat3_packet([(1, 2, 3, 1)])
    assert read_events(data, "aedat", filename="recording.aedat4", max_events=1).tolist() == [[1, 2, 3, 1]]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (CSV, "csv"),
        (AEDAT3_HEADER, "aedat"),
        (aedat4_header(0), "aedat4"),
        (evt2(0), "evt2"),
        (evt21(0), "evt21"),
        (evt3(0), "evt3"),
        (es(b""), "es"),
        (b"% Data file containing CD events\n\0\x08", "dat"),
        (b"\x93NUMPY\1\0", "npy"),
        (b"PK\x03\x04", "npz"),
    ],
)
def test_a_format_that_the_header_contradicts_is_refused(data: bytes, found: str) -> None:
    for format in set(FORMATS) - {found}:
        with pytest.raises(InvalidEvents, match=f"the header is that of {found}, .* says {format}") as refused:
            read_events(data, format, max_events=1)
        assert refused.value.param == "format"


@pytest.mark.parametrize("format", ["aedat", "aedat4", "npy", "npz", "es"])
def test_a_format_with_a_header_is_not_read_without_one(format: str) -> None:
    with pytest.raises(InvalidEvents, match=f"does not start with the header of {format}"):
        read_events(b"\1\2\3\4\5", format, max_events=1)


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(
        InvalidParameter, match="nmnist, aedat, aedat4, dat, evt2, evt21, evt3, npy, npz, csv, es"
    ) as refused:
        read_events(CSV, "hdf5", max_events=1)
    assert refused.value.param == "format"


def test_bytes_without_header_name_or_format_are_refused() -> None:
    with pytest.raises(InvalidEvents, match="no header that identifies its format"):
        read_events(bytes(10), max_events=1)
    with pytest.raises(InvalidEvents, match="no header that identifies its format"):
        read_events(bytes(10), filename="recording.mat", max_events=1)


def test_an_empty_recording_is_refused() -> None:
    with pytest.raises(InvalidEvents, match="empty"):
        read_events(b"", "nmnist", max_events=1)


@pytest.mark.parametrize("line", [b"#!AER-DAT1.0\r\n", b"#!AER-DAT3.0\r\n", b"#!AER-DAT"])
def test_other_versions_of_aedat_are_refused_by_name(line: bytes) -> None:
    with pytest.raises(InvalidEvents, match=r"AEDAT 2.0, 3.1 and 4.0 are supported"):
        read_events(line, max_events=1)
