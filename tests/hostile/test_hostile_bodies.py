"""Bodies that are empty, too large, coded, in a million pieces, or late."""

import gzip
import json
import time
import tracemalloc

import pytest
from starlette.requests import Request

from service.http.request_body import read_body
from tests.hostile.refusals import GOOD, IMAGE, JSON, OCTETS, PNG, png, refused
from tests.hostile.server import Server, answer_on, code_of, head
from tests.service.serving import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHUNKED = "Transfer-Encoding: chunked"
MB = 1024 * 1024
LIMIT = 32 * MB


@pytest.mark.parametrize("headers", [PNG, OCTETS, JSON, {"Content-Type": "multipart/form-data; boundary=x"}])
async def test_an_empty_body_is_refused(client: Client, headers: dict[str, str]) -> None:
    await refused(client, IMAGE, 400, "bad_request", content=b"", headers=headers)


async def test_a_body_announced_too_large_is_refused_before_it_is_sent(server: Server) -> None:
    assert code_of(server.send([head(IMAGE, f"Content-Length: {10**15}")])) == (413, "body_too_large")
    server.check_still_answers()


async def test_a_body_that_turns_out_too_large_is_refused_in_bounded_memory(server: Server) -> None:
    chunk = b"%x\r\n%b\r\n" % (MB, bytes(MB))
    with server.growing_less_than(200):
        answer = server.send([head(IMAGE, CHUNKED, kind="image/png"), *[chunk] * 100])
    assert code_of(answer) == (413, "body_too_large")
    server.check_still_answers()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, gzip", "identity, gzip"])
async def test_a_coded_body_is_refused(client: Client, coding: str) -> None:
    body = gzip.compress(json.dumps(GOOD).encode())
    message = await refused(
        client, IMAGE, 415, "unsupported_media_type", content=body, headers=JSON | {"Content-Encoding": coding}
    )
    assert coding in message


async def test_a_body_that_says_it_is_not_coded_is_taken(client: Client) -> None:
    answer = await client.post(IMAGE, json=GOOD, headers={"Content-Encoding": "identity"})
    assert answer.status_code == 200


async def test_a_million_tiny_chunks_are_one_body(server: Server) -> None:
    body = json.dumps(GOOD).encode().ljust(1_000_000)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    with server.growing_less_than(60):
        status, answer = server.send([head(IMAGE, CHUNKED), chunks])
    assert status == 200
    assert len(answer["predictions"]) == 1


async def test_the_memory_of_a_body_does_not_follow_its_pieces() -> None:
    pieces = 200_000
    left = iter(range(pieces, -1, -1))

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": bytes(2), "more_body": next(left) > 0}

    tracemalloc.start()
    try:
        body = await read_body(Request({"type": "http", "headers": []}, receive))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(body) == 2 * (pieces + 1)
    assert peak < 6 * len(body)


async def test_a_slow_body_is_cut_off_at_the_callers_time(server: Server) -> None:
    for length in ("Content-Length: 1000", CHUNKED):
        with server.connect() as connection:
            connection.sendall(head(IMAGE, length, "X-Request-Timeout-Ms: 700"))
            for _ in range(3):
                connection.sendall(b" " if length != CHUNKED else b"1\r\n \r\n")
                time.sleep(0.1)
            assert code_of(answer_on(connection)) == (408, "request_timeout")
            assert connection.recv(1) == b""
    server.check_still_answers()


async def test_a_slow_form_and_a_slow_promotion_are_cut_off_too(server: Server) -> None:
    form = "multipart/form-data; boundary=x"
    default = "/v1/models/tiny-image/default"
    for start in (
        head(IMAGE, "Content-Length: 1000", "X-Request-Timeout-Ms: 300", kind=form) + b"--x\r\nContent-Disposition: fo",
        head(default, "Content-Length: 1000", "X-Request-Timeout-Ms: 300", method="PUT") + b'{"version":',
    ):
        assert code_of(server.send([start])) == (408, "request_timeout")
    server.check_still_answers()


@pytest.mark.parametrize("charset", ["undefined", "idna", "unicode_escape", "utf-7", "utf-16", "\u00e9"])
async def test_a_form_in_another_charset_is_refused(client: Client, charset: str) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="\\ud800"; filename="a"\r\n\r\n\r\n--x--\r\n'
    headers = {b"Content-Type": f"multipart/form-data; boundary=x; charset={charset}".encode()}
    await refused(client, IMAGE, 415, "unsupported_media_type", content=part, headers=headers)


@pytest.mark.parametrize(
    "part",
    [
        b"Content-Disposition: form-data\r\n\r\n",
        b"Content-Disposition: form-data; name=file; filename=" + b"a" * 100_000 + b"\r\n\r\n",
        b"X: y\r\n" * 10_000 + b"\r\n",
        b"X" * 1_000_000,
        b"\x00\r\n\r\n",
    ],
)
async def test_a_form_with_a_broken_part_is_refused(client: Client, part: bytes) -> None:
    body = b"--x\r\n" + part + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    await refused(client, IMAGE, 400, "bad_request", content=body, headers=headers)


async def test_a_large_part_without_a_filename_is_refused_as_a_small_one_is(client: Client) -> None:
    for size in (10, 2_000_000):
        body = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + b"x" * size + b"\r\n--x--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        await refused(client, IMAGE, 422, "invalid_parameter", "file", content=body, headers=headers)


async def test_parts_beyond_the_limit_are_refused_in_bounded_memory(server: Server) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\r\n'
    body = part * 400_000
    start = head(IMAGE, f"Content-Length: {len(body)}", kind="multipart/form-data; boundary=x")
    with server.growing_less_than(100):
        assert code_of(server.send([start, body])) == (413, "too_many_inputs")
    server.check_still_answers()


async def test_a_form_with_a_name_as_long_as_a_header_is_refused_briefly(client: Client) -> None:
    name = "f" * 3000
    answer = await client.post(IMAGE, files=[(name, ("a.png", png()))])
    assert answer.status_code == 422
    assert len(answer.text) < 2000
