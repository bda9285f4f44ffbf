"""Heads of requests, and what else is no body: late, endless, or no HTTP at all."""

import json
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from service.http.connections import Limits
from tests.hostile.refusals import GOOD, IMAGE
from tests.hostile.server import Server, answer_on, answers_on, code_of, head

HEAD_SECONDS, HEAD_BYTES = Limits().head_seconds, Limits().head_bytes
CHUNKED = "Transfer-Encoding: chunked"
BODY = json.dumps(GOOD).encode()
WHOLE = head(IMAGE, f"Content-Length: {len(BODY)}") + BODY


def test_connections_that_never_send_a_whole_head_are_closed_and_one_that_is_used_is_not(server: Server) -> None:
    beginnings = {
        "nothing": (b"", b""),
        "one line": (b"GET /health/live HT", b""),
        "drips": (b"GET /health/live HTTP/1.1\r\nX: ", b"x"),
        "blank lines": (b"", b"\r\n"),
        "after an answer": (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET ", b"/"),
        "after a refusal": (head(IMAGE, "Content-Length: 100000000"), b"x"),
    }
    connections = {name: server.connect() for name in (*beginnings, "used")}
    try:
        for name, (start, _) in beginnings.items():
            connections[name].sendall(start)
        started = time.monotonic()
        open_still = {name: connections[name] for name in beginnings}
        answers: dict[str, bytes] = {}
        while open_still:
            assert time.monotonic() < started + HEAD_SECONDS + 30, open_still
            time.sleep(0.5)
            connections["used"].sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answer_on(connections["used"])[0] == 200
            for name, connection in list(open_still.items()):
                try:
                    connection.sendall(beginnings[name][1])
                    connection.settimeout(0.01)
                    received = connection.recv(100_000)
                except TimeoutError:
                    continue
                except (BrokenPipeError, ConnectionResetError):
                    received = b""
                answers[name] = answers.get(name, b"") + received
                if not received:
                    del open_still[name]
    finally:
        for connection in connections.values():
            connection.close()
    for name in ("nothing", "one line", "drips", "blank lines"):
        assert answers[name].startswith(b"HTTP/1.1 408 "), name
        assert b'"code":"request_timeout"' in answers[name]
    assert answers["after an answer"].startswith(b"HTTP/1.1 200 ")
    assert answers["after a refusal"].startswith(b"HTTP/1.1 413 ")
    server.check_still_answers()


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /", b"x" * 65536),
        (b"GET / HTTP/1.1\r\nX: ", b"x" * 65536),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 10_000),
        (head(IMAGE, CHUNKED) + b"1\r\nx\r\n0\r\nX: ", b"x" * 65536),
        (head(IMAGE, CHUNKED) + b"1\r\nx\r\n0\r\n", b"X: y\r\n" * 10_000),
        (head(IMAGE, CHUNKED) + b"1;x=", b"x" * 65536),
        (b"", b"\r\n" * 30_000),
    ],
    ids=["path", "header", "headers", "trailer", "trailers", "chunk extension", "blank lines"],
)
def test_what_is_no_body_and_never_ends_is_refused_in_bounded_memory(
    server: Server, start: bytes, piece: bytes
) -> None:
    with server.growing_less_than(20):
        answer = server.send([start, *[piece] * 400])
    assert code_of(answer) == (400, "bad_request")
    server.check_still_answers()


@pytest.mark.parametrize("size", [1000, HEAD_BYTES // 2])
def test_a_long_head_is_taken(server: Server, size: int) -> None:
    start = head(IMAGE, "X-Long: " + "x" * size, f"Content-Length: {len(BODY)}")
    assert server.send([start[:100], start[100:], BODY])[0] == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nX y: z\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        head(IMAGE, "Content-Length: -1"),
        head(IMAGE, "Content-Length: x"),
        head(IMAGE, f"Content-Length: {2**70}"),
        head(IMAGE, "Content-Length: 1", "Content-Length: 2") + b"x",
        head(IMAGE, "Content-Length: 1", CHUNKED) + b"1\r\nx\r\n0\r\n\r\n",
        head(IMAGE, CHUNKED) + b"x\r\n",
        head(IMAGE, CHUNKED) + b"-1\r\n",
        head(IMAGE, CHUNKED) + b"ffffffffffffffffff\r\n",
        head(IMAGE, CHUNKED) + b"1\r\nxyz",
    ],
)
def test_what_is_no_http_is_refused_and_closed(server: Server, request_: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(request_)
        assert code_of(answer_on(connection)) == (400, "bad_request")
        assert connection.recv(1) == b""
    server.check_still_answers()


@pytest.mark.parametrize("garbage", [b"\x00\xff garbage\r\n\r\n", b"GET\r\n\r\n", b"x" * 200_000])
def test_garbage_behind_a_request_does_not_cost_its_answer(server: Server, garbage: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(WHOLE + WHOLE + garbage)
        assert [status for status, _ in answers_on(connection, 2)] == [200, 200]
        with suppress(ConnectionResetError):  # where not all of the garbage was read
            assert connection.recv(1) == b""
    server.check_still_answers()


def test_many_requests_at_once_on_one_connection_are_answered_in_order(server: Server) -> None:
    with server.connect() as connection, server.growing_less_than(60):
        for _ in range(300):
            connection.sendall(WHOLE)
        answers = answers_on(connection, 300)
    assert [status for status, _ in answers] == [200] * 300
    assert len({answer["id"] for _, answer in answers}) == 300


@pytest.mark.parametrize("upgrade", ["h2c", "x"])
def test_an_upgrade_is_not_taken(server: Server, upgrade: str) -> None:
    lines = ("Connection: Upgrade", f"Upgrade: {upgrade}", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA")
    with server.connect() as connection:
        connection.sendall("\r\n".join(["GET /v1/models HTTP/1.1", "Host: localhost", *lines, "", ""]).encode())
        status, body = answer_on(connection)
    assert status == 200
    assert body["object"] == "list"
    server.check_still_answers()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2"])
@pytest.mark.parametrize("size", [0, 2_000_000])
def test_curl_is_answered_whatever_version_it_asks_for(server: Server, tmp_path: Path, version: str, size: int) -> None:
    (tmp_path / "body").write_bytes(BODY + b" " * size)
    url = f"http://127.0.0.1:{server.port}{IMAGE}"
    command = ["curl", "-sS", version, "-H", "Content-Type: application/json", "--data-binary", f"@{tmp_path}/body"]
    done = subprocess.run([*command, url, "--next", *command[1:], url], capture_output=True, check=True, timeout=60)
    first, last = (json.loads(line) for line in done.stdout.replace(b"}{", b"}\n{").splitlines())
    assert first["predictions"] == last["predictions"]


def test_a_body_packed_on_the_way_is_not_read(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head(IMAGE, "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n")
        assert code_of(answer_on(connection)) == (501, "unsupported_transfer_coding")
        assert connection.recv(1) == b""
    server.check_still_answers()
