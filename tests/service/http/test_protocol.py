import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from contract.errors import Overloaded
from service.http.connections import Limits
from service.http.listening import ListeningServer
from service.http.raw_response import RawResponse
from tests.service.http.talk import exchange, port_of, serving

SLOW = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
QUICK = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
HASTY = Limits(head_seconds=0.6, keep_alive_seconds=1, patience_seconds=1, bytes_per_second=1000)
LONG = 8 * 2**20


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was sent; `/slow` after longer than a head may take, `/long` with much more."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * HASTY.head_seconds)
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    answer = json.dumps({"path": scope["path"], "body": body.decode(), "headers": headers}).encode()
    answer += b" " * LONG if scope["path"] == "/long" else b""
    length = str(len(answer)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": answer})


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ListeningServer]:
    async with serving(app, HASTY) as running:
        yield running


@pytest.fixture
def port(server: ListeningServer) -> int:
    return port_of(server)


def statuses(received: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3})", received)]


def bodies(received: bytes) -> list[Any]:
    """The JSON of each response."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        length = int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
        found.append(json.loads(rest[:length]))
        received = rest[length:]
    return found


def post(*lines: str, body: bytes = b"hello", path: str = "/echo") -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: x", *lines)
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_answering_may_take_longer_than_a_head(port: int) -> None:
    assert statuses(await exchange(port, SLOW + LAST)) == [200, 200]


async def test_a_request_that_waits_behind_another_has_its_own_time(port: int) -> None:
    assert statuses(await exchange(port, QUICK + SLOW + LAST)) == [200, 200, 200]


async def test_a_head_that_is_late_gets_the_body_of_every_failure(port: int) -> None:
    received = await exchange(port, QUICK[:-2])
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 Request Timeout")
    assert b"connection: close" in head.lower()
    assert b"x-request-id: " in head.lower()
    assert b"date: " in head.lower()
    assert body.startswith(b'{"error":{"code":"request_timeout",')


async def test_a_head_that_begins_after_an_answer_has_its_own_time(port: int) -> None:
    assert statuses(await exchange(port, QUICK + b"GET ")) == [200, 408]


async def test_a_connection_without_a_further_request_is_closed_without_a_word() -> None:
    async with serving(app, Limits(head_seconds=60, keep_alive_seconds=0.2)) as server:
        assert statuses(await exchange(port_of(server), QUICK)) == [200]


@pytest.mark.parametrize(
    "upgrade",
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA"),
        ("Connection: Upgrade", "Upgrade: x"),
    ],
    ids=["h2c", "x"],
)
@pytest.mark.parametrize("coding", ["length", "chunked"])
@pytest.mark.parametrize("cut", [0, 40, -3])
async def test_an_upgrade_is_ignored_and_what_follows_it_is_read(
    port: int, upgrade: tuple[str, ...], coding: str, cut: int
) -> None:
    if coding == "length":
        sent = post(*upgrade, "Content-Length: 5") + LAST
    else:
        sent = post(*upgrade, "Transfer-Encoding: chunked", body=b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n") + LAST
    first, last = bodies(await exchange(port, *([sent[:cut], sent[cut:]] if cut else [sent])))
    assert first["body"] == "hello"
    assert "upgrade" not in first["headers"]
    assert last["path"] == "/last"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "bad_request"),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" + QUICK, 400, "bad_request"),
        (post("Transfer-Encoding: gzip, chunked", body=b""), 501, "unsupported_transfer_coding"),
        (post("Transfer-Encoding: identity, chunked", body=b""), 501, "unsupported_transfer_coding"),
    ],
    ids=["no Host", "two Hosts", "path in Host", "space in Host", "user in Host", "CONNECT", "gzip", "identity"],
)
async def test_a_head_that_http_forbids_is_refused_and_closed(port: int, sent: bytes, status: int, code: str) -> None:
    received = await exchange(port, sent)
    assert statuses(received) == [status]
    assert bodies(received)[0]["error"]["code"] == code


@pytest.mark.parametrize("host", ["a", "a.b:80", "127.0.0.1:8000", "[::1]:8000", "[fe80::1]", "", "a-b_c.d~e"])
async def test_every_form_of_a_host_is_taken(port: int, host: str) -> None:
    received = await exchange(port, f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert bodies(received)[0]["headers"]["host"] == host


async def test_http_1_0_needs_no_host(port: int) -> None:
    assert statuses(await exchange(port, b"GET / HTTP/1.0\r\n\r\n")) == [200]


async def test_the_host_of_an_absolute_url_is_the_one_that_counts(port: int) -> None:
    received = await exchange(port, b"GET http://b:81/c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    [found] = bodies(received)
    assert (found["path"], found["headers"]["host"]) == ("/c", "b:81")


async def test_a_body_that_stops_ends_its_request(port: int) -> None:
    started = time.monotonic()
    received = await exchange(port, post("Content-Length: 10000", body=b"x" * 9999))
    assert 0.9 < time.monotonic() - started < 5
    assert statuses(received) == [408]
    assert bodies(received)[0]["error"]["code"] == "request_timeout"


async def test_a_body_that_drips_ends_its_request(port: int) -> None:
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post("Content-Length: 10000", body=b""))
    reading = asyncio.create_task(reader.read())
    while not reading.done():
        writer.write(b"x")
        await asyncio.sleep(0.1)
        assert time.monotonic() - started < 10
    assert statuses(await reading) == [408]
    writer.close()


async def test_a_body_that_pauses_and_one_that_is_slow_enough_are_read(port: int) -> None:
    pausing = post("Content-Length: 1000", "Connection: close", body=b"x" * 500)
    steady = post("Content-Length: 4500", "Connection: close", body=b"")
    answers = await asyncio.gather(
        exchange(port, pausing, b"x" * 500, pause=0.7), exchange(port, steady, *[b"x" * 450] * 10, pause=0.3)
    )
    assert [bodies(each)[0]["body"] for each in answers] == ["x" * 1000, "x" * 4500]


async def test_a_client_that_waits_for_100_continue_is_not_slow() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(2)
        await app(scope, receive, send)

    async with serving(slow, HASTY) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(post("Content-Length: 5", "Expect: 100-continue", "Connection: close", body=b""))
        assert statuses(await reader.readuntil(b"\r\n\r\n")) == [100]
        writer.write(b"hello")
        assert bodies(await reader.read())[0]["body"] == "hello"
        writer.close()


def connect_without_reading(port: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    return client


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_a_client_that_does_not_read_loses_its_connection(connection: str) -> None:
    request = f"GET /long HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n".encode()
    limits = Limits(patience_seconds=0.5, bytes_per_second=LONG)
    async with serving(app, limits) as server:
        with connect_without_reading(port_of(server)) as client:
            client.sendall(request)
            await asyncio.sleep(0.5)
            assert len(server.server_state.connections) == 1
            started = time.monotonic()
            while server.server_state.connections or server.server_state.tasks:
                assert time.monotonic() - started < 10
                await asyncio.sleep(0.05)
        assert server.server_state.aborted == 1


async def test_a_client_that_reads_slowly_gets_its_answer() -> None:
    async with serving(app, Limits(patience_seconds=0.5, bytes_per_second=LONG // 8)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server), limit=4096)
        writer.write(b"GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = 0
        while piece := await reader.read(LONG // 20):
            received += len(piece)
            await asyncio.sleep(0.01)
        writer.close()
    assert received > LONG


async def test_what_the_gate_refuses_is_answered_at_once_and_its_body_is_skipped() -> None:
    busy = RawResponse(Overloaded("busy"))

    class Closed:
        def refusal(self, method: bytes, url: bytes) -> RawResponse | None:
            return busy if url == b"/echo" else None

    sent = post("Content-Length: 5", "X-Request-ID: mine") + post(
        "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"
    )
    async with serving(app, HASTY, Closed()) as server:
        received = await exchange(port_of(server), sent[:-30], sent[-30:], QUICK + LAST)
        alone = await exchange(port_of(server), post("Content-Length: 5", "Connection: close"))
        late = await exchange(port_of(server), post("Content-Length: 5", body=b"hell"))
    assert statuses(received) == [429, 429, 200, 200]
    assert re.findall(rb"(?i)x-request-id: (\S+)", received)[0] == b"mine"
    assert len(re.findall(rb"(?i)x-request-id: [0-9a-f]{32}\r\n", received)) == 1
    assert bodies(received)[0]["error"]["code"] == "overloaded"
    assert re.search(rb"(?i)retry-after: 1\r\n", received)
    assert re.search(rb"(?i)connection: close\r\n", alone)
    assert statuses(late) == [429, 408]
