import io
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.errors import InvalidEvents, TooManyEvents
from contract.events import read_events

DTYPE = [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")]
ROWS = [(3, 1, 2, 1), (3, 7, 0, 0), (9, 5, 5, 1)]
EXPECTED = [list(row) for row in ROWS]


def npy(array: NDArray[Any], version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version, allow_pickle=True)
    return stream.getvalue()


def npz(**arrays: object) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def columns(count: int = 3) -> dict[str, NDArray[Any]]:
    return {name: np.array([row[index] for row in ROWS[:count]]) for index, name in enumerate("txyp")}


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_a_structured_array_is_read_by_its_fields(version: tuple[int, int]) -> None:
    assert read_events(npy(np.array(ROWS, DTYPE), version), max_events=3).tolist() == EXPECTED


def test_field_order_width_byte_order_and_other_fields_do_not_matter() -> None:
    dtype = [("p", "?"), ("y", ">u8"), ("weight", "<f4"), ("x", "u1"), ("t", ">i4")]
    array = np.array([(p, y, 0.5, x, t) for t, x, y, p in ROWS], dtype)
    assert read_events(npy(array), max_events=3).tolist() == EXPECTED


def test_the_names_of_other_software_and_signed_polarities_are_understood() -> None:
    named = np.array(
        [(t, x, y, 2 * p - 1) for t, x, y, p in ROWS], [(n, "i8") for n in ("timestamp", "x", "y", "polarity")]
    )
    assert read_events(npy(named), max_events=3).tolist() == EXPECTED
    arrays = {"timestamp": named["timestamp"], "x": named["x"], "y": named["y"], "polarity": named["polarity"]}
    assert read_events(npz(**arrays), max_events=3).tolist() == EXPECTED


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_plain_array_has_the_columns_t_x_y_p(order: Any) -> None:
    assert read_events(npy(np.array(ROWS, np.uint16, order=order)), max_events=3).tolist() == EXPECTED


def broken_shape(shape: str) -> bytes:
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy(np.array(ROWS, DTYPE))[:-1], "says \\[3\\] values of 13 bytes, but 38 bytes follow"),
        (npy(np.array(ROWS, DTYPE)) + b"\0", "40 bytes follow"),
        (broken_shape("(1000000000000, 4)"), "values of 8 bytes, but 0 bytes follow"),
        (broken_shape("(-1, 4)"), "0 bytes follow"),
        (broken_shape("(" * 200), "broken"),
        (broken_shape("('a', 4)"), "broken"),
        (npy(np.zeros((0, 4), np.int64)), "no events"),
        (npy(np.zeros(5, np.int64)), "its shape is \\[5\\]"),
        (npy(np.zeros((2, 3), np.int64)), "its shape is \\[2, 3\\]"),
        (npy(np.zeros((2, 2), DTYPE)), "one dimension"),
        (npy(np.zeros(2, DTYPE[:3])), "missing: p; there are t, x, y"),
        (npy(np.zeros((2, 4))), "t must be integers, not float64"),
        (npy(np.zeros((2, 4), bool)), "t must be integers, not bool"),
        (npy(np.zeros(2, [("t", "<i8"), ("x", "?"), ("y", "<i2"), ("p", "?")])), "x must be integers, not bool"),
        (npy(np.zeros(2, [("t", "<i8", (2,)), ("x", "i1"), ("y", "i1"), ("p", "i1")])), "t must be integers"),
        (npy(np.zeros(2, "datetime64[us]").repeat(4).reshape(2, 4)), "t must be integers"),
        (npy(np.array([[1, 2, 3, {}]], object)), "Python objects"),
        (npy(np.array([[2**63, 0, 0, 0]], np.uint64)), "event 0: t is 9223372036854775808"),
        (b"\x93NUMPY", "broken"),
        (b"\x93NUMPY\x09\x00", "broken"),
    ],
)
def test_a_broken_npy_recording_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidEvents, match=message):
        read_events(data, max_events=100)


def test_npy_with_more_events_than_allowed_is_refused() -> None:
    with pytest.raises(TooManyEvents):
        read_events(npy(np.array(ROWS, DTYPE)), max_events=2)


def test_an_archive_is_read_by_its_keys() -> None:
    assert read_events(npz(**columns(), label=np.array(7)), max_events=3).tolist() == EXPECTED


def test_other_members_of_an_archive_are_never_unpickled() -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("the archive was unpickled",))

    assert read_events(npz(**columns(), extra=np.array([Trap()])), max_events=3).tolist() == EXPECTED
    with pytest.raises(InvalidEvents, match="Python objects"):
        read_events(npz(**{**columns(), "t": np.array([Trap()] * 3)}), max_events=3)


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return stream.getvalue()


GOOD_MEMBERS = {f"{name}.npy": npy(array) for name, array in columns().items()}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npz(t=[1], x=[1], y=[1]), "missing: p"),
        (npz(**{**columns(), "x": np.arange(2)}), "the same length"),
        (npz(**{**columns(), "y": np.zeros(3)}), "y must be integers"),
        (npz(**{**columns(), "t": np.zeros((3, 1), int)}), "t must have one dimension"),
        (npz(**columns(0)), "t must be integers|no events"),
        (archive({}), "missing: t, x, y, p"),
        (archive(GOOD_MEMBERS)[:-30], "broken"),
        (archive(GOOD_MEMBERS, zipfile.ZIP_LZMA), "a compression that NumPy does not use"),
        (archive({**GOOD_MEMBERS, "t.npy": GOOD_MEMBERS["t.npy"] + b"\0"}), "25 bytes follow"),
        (archive({**GOOD_MEMBERS, "t.npy": b"t"}), "broken"),
        (archive({**GOOD_MEMBERS, **{str(index): b"" for index in range(80)}}), "64 members"),
        (b"PK\x03\x04 and no more", "broken"),
    ],
)
def test_a_broken_npz_recording_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidEvents, match=message):
        read_events(data, max_events=100)


def test_a_flipped_bit_in_an_archive_is_noticed() -> None:
    data = bytearray(archive(GOOD_MEMBERS, zipfile.ZIP_STORED))
    data[data.index(GOOD_MEMBERS["t.npy"]) + len(GOOD_MEMBERS["t.npy"]) - 8] ^= 1
    with pytest.raises(InvalidEvents, match="broken"):
        read_events(bytes(data), max_events=100)


def test_a_small_archive_of_large_arrays_is_refused_before_it_is_unpacked() -> None:
    data = npz(**{name: np.zeros(2_000_000, np.int64) for name in "txyp"})
    assert len(data) < 100_000
    with pytest.raises(TooManyEvents):
        read_events(data, max_events=1_999_999)


def test_an_archive_that_lies_about_its_sizes_unpacks_to_no_more_than_it_says() -> None:
    honest = GOOD_MEMBERS["t.npy"]
    data = bytearray(archive({**GOOD_MEMBERS, "t.npy": honest + bytes(50_000_000)}))
    entry = data.index(b"PK\x01\x02")  # t.npy is the first member of the directory
    data[entry + 24 : entry + 28] = len(honest).to_bytes(4, "little")
    tracemalloc.start()
    with pytest.raises(InvalidEvents, match="broken"):
        read_events(bytes(data), max_events=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
