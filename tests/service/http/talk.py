"""A server in this process around a bare ASGI application, and raw sockets that talk to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from service.http.connections import Gate, Limits
from service.http.listening import ListeningServer
from service.http.protocol import BoundedProtocol


@asynccontextmanager
async def serving(app: Any, limits: Limits, gate: Gate | None = None, **options: Any) -> AsyncIterator[ListeningServer]:
    options = {"ws": "none"} | options
    config = uvicorn.Config(app, port=0, http=BoundedProtocol, lifespan="off", log_config=None, **options)
    server = ListeningServer(config, limits, gate)
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server
    server.should_exit = True
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    await running


def port_of(server: ListeningServer) -> int:
    return int(server.listener.sockets[0].getsockname()[1])


async def exchange(port: int, *pieces: bytes, pause: float = 0.05) -> bytes:
    """Send the pieces one after the other; returns everything that the server says until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(pause if len(pieces) > 1 else 0)
    received = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    await writer.wait_closed()
    return received
