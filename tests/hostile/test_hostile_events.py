"""Recordings that break the rules, lie about themselves, or are far larger in memory than on the wire."""

import io
import struct
import zipfile
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract.events import FORMATS
from tests.contract.events.hostile import CASES
from tests.contract.events.recordings import AEDAT3_HEADER, aedat3_packet, aedat4_header, aedat4_packet, es, evt2
from tests.hostile.refusals import EVENTS, JSON, OCTETS, check_shows_no_inside, check_still_answers, refused
from tests.hostile.server import Server, code_of, head
from tests.service.serving import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIELDS = np.dtype([("t", "<i8"), ("x", "<i8"), ("y", "<i8"), ("p", "<i8")])
MB = 1024 * 1024


def npy(rows: Any, dtype: Any = FIELDS) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(rows, dtype), allow_pickle=True)
    return stream.getvalue()


def npy_that_says(shape: str, dtype: str = "'<i8'", body: bytes = bytes(64)) -> bytes:
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def npz(**members: bytes | NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            archive.writestr(f"{name}.npy", value if isinstance(value, bytes) else npy(value, value.dtype))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"t": [5, 4], "x": [0, 0], "y": [0, 0], "p": [0, 0]}, "event 1"),
        ({"t": [1], "x": [8], "y": [0], "p": [0]}, "sensor"),
        ({"t": [1], "x": [0], "y": [-1], "p": [0]}, "event 0"),
        ({"t": [1], "x": [2**70], "y": [0], "p": [0]}, "64 bits"),
        ({"t": [1], "x": [0], "y": [0], "p": [7]}, "p is 7"),
        ({"t": [1], "x": [0], "y": [0], "p": [True]}, "true"),
        ({"t": [1.0], "x": [0], "y": [0], "p": [0]}, "integer"),
        ({"t": ["1"], "x": [0], "y": [0], "p": [0]}, "integer"),
        ({"t": [None], "x": [0], "y": [0], "p": [0]}, "integer"),
        ({"t": [[1]], "x": [0], "y": [0], "p": [0]}, "integer"),
        ({"t": [], "x": [], "y": [], "p": []}, "no events"),
        ({"t": [1, 2], "x": [0], "y": [0], "p": [0]}, "the same length"),
        ({"t": 1, "x": 0, "y": 0, "p": 0}, "list"),
        ({"t": "1", "x": "0", "y": "0", "p": "0"}, "list"),
        ({"t": [-1], "x": [0], "y": [0], "p": [0]}, "2^62"),
        ({"t": [2**62], "x": [0], "y": [0], "p": [0]}, "2^62"),
        ({"t": [2**63 - 1], "x": [0], "y": [0], "p": [0]}, "2^62"),
        ({"t": [2**63], "x": [0], "y": [0], "p": [0]}, "64 bits"),
    ],
)
async def test_lists_that_break_the_rules_are_refused(client: Client, columns: dict[str, Any], says: str) -> None:
    good = {"events": {"t": [1], "x": [0], "y": [0], "p": [0]}}
    body = {"inputs": [good, {"events": columns}]}
    assert says in await refused(client, EVENTS, 422, "invalid_events", "inputs[1]", json=body)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([(5, 0, 0, 0), (4, 0, 0, 0)], "ascending"),
        ([(0, 8, 0, 0)], "sensor"),
        ([(0, 0, 2**40, 0)], "sensor"),
        ([(0, 0, 0, 7)], "p is 7"),
        ([(0, 0, 0, 0), (0, 0, 0, -1)], "p is -1"),
        ([], "no events"),
        ([(2**63 - 1, 0, 0, 0)], "2^62"),
        ([(2**62, 0, 0, 0)], "2^62"),
        ([(-(2**63), 0, 0, 0)], "2^62"),
    ],
)
async def test_files_that_break_the_rules_are_refused(client: Client, rows: Any, says: str) -> None:
    for data in (
        npy(rows),
        npz(**{name: np.array([row[index] for row in rows], "<i8") for index, name in enumerate("txyp")}),
    ):
        message = await refused(client, EVENTS, 422, "invalid_events", "inputs[0]", content=data, headers=OCTETS)
        assert says in message
    unsigned = [tuple(value % 2**64 for value in row) for row in rows]
    data = npy(unsigned, [(name, "<u8") for name in "txyp"])
    await refused(client, EVENTS, 422, "invalid_events", "inputs[0]", content=data, headers=OCTETS)


async def test_times_just_below_the_limit_are_answered(client: Client) -> None:
    """The whole range of times in one recording, through the network's own arithmetic."""
    for times in ([0, 2**62 - 1], [2**62 - 2, 2**62 - 1]):
        body = {"inputs": [{"events": {"t": times, "x": [0, 7], "y": [7, 0], "p": [0, 1]}}]}
        answer = await client.post(EVENTS, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"][0]["preprocessing"]["span_us"] == times[1] - times[0]


@pytest.mark.parametrize(
    "data",
    [
        npy_that_says("(100000000, 4)"),
        npy_that_says("(100000000,)", "[('t','<i8'),('x','<i2'),('y','<i2'),('p','u1')]"),
        npy_that_says("(18446744073709551616, 4)"),
        npy_that_says("(-1, 4)"),
        npy_that_says("(True, 4)"),
        npy_that_says("(4611686018427387904, 4)", body=b""),
        npy_that_says("(100000000,)", "'|V0'", b""),
        npy_that_says("(100000000, 4)", "'<U0'", b""),
        npy_that_says("(2, 4)", "'|O'"),
        npy_that_says("(2, 4)", "'<f8'"),
        npy_that_says("(2, 4)", "'<M8[us]'"),
        npy_that_says("(2,)", "[('t','<i8',(4,))]"),
        npy_that_says("(2,)", "[('t','|O'),('x','<i2'),('y','<i2'),('p','u1')]"),
        npy_that_says("__import__('os').system('true')"),
        npy_that_says("(" * 3000 + ")" * 3000),
        npy_that_says("()", "'<i8'", bytes(8)),
        b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 65535,
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        b"\x93NUMPY\x09\x00",
        npy([[1, 2, 3, 4], None], object),
    ],
)
async def test_a_npy_file_that_lies_or_holds_objects_is_refused(client: Client, data: bytes) -> None:
    await refused(client, EVENTS, 422, "invalid_events", "inputs[0]", content=data, headers=OCTETS)
    archive = npz(t=data, x=data, y=data, p=data)
    await refused(client, EVENTS, 422, "invalid_events", "inputs[0]", content=archive, headers=OCTETS)


def many_members() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(100_000):
            archive.writestr(str(number), b"")
    return stream.getvalue()


ZERO = np.zeros(1, "<i8")
LONG_HEADER = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**30) + b" " * 2**20
PACKED = aedat4_packet(zstandard.ZstdCompressor().compress(bytes(2**17)))

# What is sent, the code of its answer, and the megabytes that it may take at most.
BOMBS: dict[str, tuple[Callable[[], bytes], str, float]] = {
    "npz, a member beside": (lambda: npz(t=ZERO, x=ZERO, y=ZERO, p=ZERO, z=bytes(200_000_000)), "200", 30),
    "npz, a long member": (lambda: npz(t=bytes(200_000_000), x=ZERO, y=ZERO, p=ZERO), "invalid_events", 30),
    "npz, long headers": (lambda: npz(**dict.fromkeys("txyp", LONG_HEADER)), "invalid_events", 30),
    "npz, too many events": (lambda: npz(**dict.fromkeys("txyp", np.zeros(10_000_000, "<i8"))), "too_many_events", 30),
    "npz, as many as may be": (lambda: npz(**dict.fromkeys("txyp", np.zeros(4_900_000, "<i8"))), "200", 900),
    "npz, many members": (many_members, "invalid_events", 40),
    "aedat4, many packets": (lambda: aedat4_header(3) + PACKED * 120_000, "too_many_events", 60),
    "aedat3, many packets": (lambda: AEDAT3_HEADER + aedat3_packet([(1, 1, 1, 1)]) * 120_000, "too_many_events", 60),
    "es, many short runs": (lambda: es(b"\xfe\x00" * (8 * MB)), "invalid_events", 400),
    "evt2, too many events": (lambda: evt2(8 << 28) + struct.pack("<I", 1 << 28) * 7_000_000, "too_many_events", 200),
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_small_file_does_not_become_a_large_one(server: Server, name: str) -> None:
    build, code, megabytes = BOMBS[name]
    data = build()
    assert len(data) < 31 * MB
    start = head(EVENTS, f"Content-Length: {len(data)}", kind="application/octet-stream")
    with server.growing_less_than(megabytes):
        status, body = server.send([start, data])
    assert (body["error"]["code"] if status != 200 else "200") == code, body
    server.check_still_answers()


@pytest.mark.parametrize(("format", "data"), CASES)
async def test_a_file_truncated_at_every_byte_is_answered_or_refused(client: Client, format: str, data: bytes) -> None:
    url = f"{EVENTS}?format={format}&camera=dvs128"
    statuses = []
    for length in range(1, len(data)):
        answer = await client.post(url, content=data[:length], headers=OCTETS)
        statuses.append(answer.status_code)
        if answer.status_code != 200:
            assert answer.json()["error"]["code"] in ("invalid_events", "too_many_events")
            assert answer.json()["error"]["param"] == "inputs[0]"
            check_shows_no_inside(answer.text)
    assert set(statuses) <= {200, 422, 413}
    assert 422 in statuses
    await check_still_answers(client)


@pytest.mark.parametrize("camera", ["", "dvs", "dvs128\x00", "x" * 5000, "dvs\u0456128"])
async def test_a_camera_that_is_not_known_is_named_briefly(client: Client, camera: str) -> None:
    data = b"#!AER-DAT2.0\r\n" + bytes(8)
    headers = OCTETS
    answer = await client.post(EVENTS, params={"camera": camera}, content=data, headers=headers)
    assert code_of((answer.status_code, answer.json())) == (422, "invalid_events")
    assert len(answer.text) < 2000


@given(
    rows=st.lists(
        st.tuples(
            st.integers(-1, 2**62) | st.integers(-(2**63), 2**63 - 1),
            st.integers(-1, 9),
            st.integers(-1, 9),
            st.integers(-1, 2),
        ),
        max_size=6,
    )
)
@settings(deadline=None, max_examples=150)
async def test_any_events_are_answered_or_refused(client: Client, rows: list[tuple[int, ...]]) -> None:
    columns = {name: [row[index] for row in rows] for index, name in enumerate("txyp")}
    t, x, y, p = columns.values()
    in_order = bool(rows) and t == sorted(t) and t[0] >= 0 and t[-1] < 2**62
    good = in_order and {*x, *y} <= set(range(8)) and ({*p} <= {0, 1} or {*p} <= {-1, 1})
    listed = await client.post(EVENTS, json={"inputs": [{"events": columns}]})
    recording = {"recording": b64encode(npy(rows)).decode()}
    filed = await client.post(EVENTS, json={"inputs": [recording]}, headers=JSON)
    for answer in (listed, filed):
        assert answer.status_code == (200 if good else 422), answer.text
        if not good:
            assert answer.json()["error"]["code"] == "invalid_events"


@pytest.mark.parametrize("format", [*FORMATS, "npy\x00", "../npy", "NPY"])
async def test_a_format_that_the_content_is_not_is_refused(client: Client, format: str) -> None:
    answer = await client.post(EVENTS, params={"format": format}, content=b"\x00\x01\x02", headers=OCTETS)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == ("invalid_events" if format in FORMATS else "invalid_parameter")
    check_shows_no_inside(answer.text)
