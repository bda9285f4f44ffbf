import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
import uvicorn

from service.http.protocol import BoundedProtocol

SLOW = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
QUICK = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"


class Hasty(BoundedProtocol):
    """Gives a head half a second."""

    head_seconds = 0.5


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers `/slow` after longer than a head may take."""
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * Hasty.head_seconds)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(app, port=0, http=Hasty, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def exchange(port: int, sent: bytes) -> bytes:
    """Everything that the server says until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    received = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    await writer.wait_closed()
    return received


async def test_answering_may_take_longer_than_a_head(port: int) -> None:
    received = await exchange(port, SLOW)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 408 Request Timeout" in received


async def test_a_request_that_waits_behind_another_has_its_own_time(port: int) -> None:
    received = await exchange(port, QUICK + SLOW)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert b"HTTP/1.1 408 Request Timeout" in received  # not until then does it wait for a head


async def test_a_head_that_is_late_gets_the_body_of_every_failure(port: int) -> None:
    received = await exchange(port, QUICK[:-2])
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 Request Timeout")
    assert b"connection: close" in head.lower()
    assert b"x-request-id: " in head.lower()
    assert body.startswith(b'{"error":{"code":"request_timeout",')
