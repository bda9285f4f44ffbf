"""JSON that is broken, deep, ambiguous, or far larger in memory than on the wire."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import BadRequest, InvalidParameter, TooManyInputs
from service.inference.inputs import read_inputs
from tests.hostile.refusals import EVENTS, IMAGE, JSON, check_shows_no_inside, refused
from tests.hostile.server import Server, code_of, head
from tests.service.serving import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1,]",
        b"nothing",
        b"{'inputs': []}",
        b'{"inputs": [] } x',
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"inputs": [01]}',
        b"[" * 100_000,
        b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"inputs": [{"pixels": [[NaN]]}]}',
        b'{"inputs": [{"pixels": [[Infinity]]}]}',
        b'{"inputs": [{"pixels": [[-Infinity]]}]}',
        b'{"inputs": [{"image": "\\ud800"}]}',
        b'{"inputs": [{"image": "\\udc00\\ud800"}]}',
        b'{"inputs": [{"image": "\xed\xa0\x80"}]}',
        b'{"inputs": [{"image": "\x00"}]}',
        b'{"inputs": [{"pixels": [[1]], "pixels": [[2]]}]}',
        b'{"inputs": [{"pixels": [[1]], "\\u0070ixels": [[2]]}]}',
        b'{"inputs": [], "inputs": [{"pixels": [[1]]}]}',
        b'{"inputs": [{"pixels": [[' + b"9" * 5000 + b"]]}]}",
    ],
)
async def test_what_is_no_strict_json_is_refused(client: Client, body: bytes) -> None:
    await refused(client, IMAGE, 400, "invalid_json", content=body, headers=JSON)


@pytest.mark.parametrize(
    "pixels",
    [
        "1e999",
        "-1e999",
        "1.0",
        "1e0",
        "true",
        "[true]",
        "[[true]]",
        "[[1.5]]",
        '[["1"]]',
        "[[null]]",
        "[[256]]",
        "[[-1]]",
        f"[[{10**100}]]",
        f"[[-{10**100}]]",
        "[]",
        "[[]]",
        "[[[]]]",
        "[[1], [1, 2]]",
        "[[[1]], [[1], [2]]]",
        "[[[[1]]]]",
        "[1]",
        "[[1], 1]",
        "[[[1]], [1]]",
        "null",
        "{}",
        '"AAAA"',
        "[[[1]],[[2]]]",
        "[[{}]]",
    ],
)
async def test_what_is_no_pixels_is_refused(client: Client, pixels: str) -> None:
    body = f'{{"inputs": [{{"pixels": [[1]]}}, {{"pixels": {pixels}}}]}}'
    await refused(client, IMAGE, 422, "invalid_image", "inputs[1]", content=body.encode(), headers=JSON)


@pytest.mark.parametrize("seed", ["true", "1.0", '"1"', "-1", str(2**63), str(10**100), "1e999", "[]"])
async def test_a_seed_is_a_whole_number_in_its_range(client: Client, seed: str) -> None:
    body = f'{{"inputs": [{{"pixels": [[1]], "seed": {seed}}}]}}'.encode()
    message = await refused(client, IMAGE, 422, "invalid_parameter", "inputs[0]", content=body, headers=JSON)
    assert "seed" in message


@pytest.mark.parametrize("version", ["true", "1.0", '"1"', "0", "-1", str(10**100), "null", "[]", "{}"])
async def test_a_promoted_version_is_a_whole_number(client: Client, version: str) -> None:
    url = "/v1/models/tiny-image/default"
    body = f'{{"version": {version}}}'.encode()
    if version == str(10**100):
        await refused(client, url, 404, "version_not_found", "version", method="PUT", content=body, headers=JSON)
    else:
        await refused(client, url, 422, "invalid_parameter", "version", method="PUT", content=body, headers=JSON)


@pytest.mark.parametrize(
    "shape", [f"[[{','.join(['0'] * 100_000)}]]", f"[{','.join(['[0]'] * 100_000)}]"], ids=["row", "column"]
)
async def test_pixels_of_a_huge_side_are_refused(client: Client, shape: str) -> None:
    body = f'{{"inputs": [{{"pixels": {shape}}}]}}'.encode()
    await refused(client, IMAGE, 413, "image_too_large", "inputs[0]", content=body, headers=JSON)


MANY = 30 * 1024 * 1024


@pytest.mark.parametrize(
    ("body", "status", "code", "megabytes"),
    [
        (b'{"inputs": [{"pixels": [%b[]]}]}' % (b"[]," * (MANY // 3)), 413, "body_too_large", 150),
        (b'{"inputs": [%b{}]}' % (b"{}," * (MANY // 3)), 413, "body_too_large", 150),
        (b'{"inputs": [%b""]}' % (b'"ab",' * (MANY // 5)), 413, "body_too_large", 150),
        (b'{"inputs": [], %b}' % b",".join(b'"%d":0' % n for n in range(90_000)), 422, "invalid_parameter", 150),
        (b'{"inputs": [{"pixels": [[%btrue]]}]}' % (b"true," * (MANY // 5)), 422, "invalid_image", 250),
        (b'{"inputs": [{"pixels": [%b[0.5]]}]}' % (b"[0.5]," * 900_000), 413, "image_too_large", 250),
        (b'{"inputs": [{"pixels": [[%b1]]}]}' % (b"300," * (MANY // 4)), 422, "invalid_image", 450),
    ],
    ids=["lists", "objects", "strings", "names", "booleans", "floats", "integers"],
)
async def test_json_that_would_fill_the_memory_is_refused(
    server: Server, body: bytes, status: int, code: str, megabytes: float
) -> None:
    with server.growing_less_than(megabytes):
        answer = server.send([head(IMAGE, f"Content-Length: {len(body)}"), body])
    assert code_of(answer) == (status, code)
    server.check_still_answers()


async def test_a_long_name_is_quoted_in_part(client: Client) -> None:
    body = json.dumps({"inputs": [{"pixels": [[1]]}], "x" * 1_000_000: 1}).encode()
    answer = await client.post(IMAGE, content=body, headers=JSON)
    assert answer.status_code == 422
    assert len(answer.content) < 2000


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["t", "x", "y", "p", "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)
INPUTS = st.dictionaries(
    st.sampled_from(["image", "pixels", "events", "recording", "seed", "format", "camera", "other"]), VALUES, max_size=3
)


@given(inputs=st.lists(INPUTS | VALUES, max_size=3) | VALUES)
@settings(deadline=None, max_examples=200)
async def test_inputs_of_any_shape_are_answered_or_refused(client: Client, inputs: Any) -> None:
    for url in (IMAGE, EVENTS):
        answer = await client.post(url, content=json.dumps({"inputs": inputs}).encode(), headers=JSON)
        assert answer.status_code in (200, 400, 413, 422), answer.text
        if answer.status_code != 200:
            check_shows_no_inside(answer.text)


@given(body=st.binary(max_size=60) | st.text('[]{}",:0e+-.\\ud8NaInfity', max_size=40).map(str.encode))
@settings(deadline=None, max_examples=300)
async def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        assert read_inputs("application/json", body, max_inputs=2)
    except (BadRequest, InvalidParameter, TooManyInputs) as error:
        check_shows_no_inside(error.message)
