"""Live streams over real WebSockets, with clients of every kind."""

import asyncio
import json
import os
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
import pytest_asyncio
from websockets import exceptions
from websockets.asyncio import client

from contract.settings import Settings
from service.app import create_app
from service.http.connections import Limits
from service.runtime import Runtime
from tests.service.app import until
from tests.service.http.talk import port_of, serving
from tests.service.streams.streaming import Messages, as_bytes, assert_as_predicted, bar, cut, decisions
from tests.tiny import EVENT_STEP_US, EVENT_STEPS

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAM = "/v1/models/tiny-events/stream"
TEXT, BINARY, PING = 1, 2, 9


class Place(NamedTuple):
    """A running server."""

    port: int
    runtime: Runtime

    def url(self, query: str = "", path: str = STREAM) -> str:
        return f"ws://127.0.0.1:{self.port}{path}{query}"

    async def http(self, method: str, path: str, **fields: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as caller:
            return await caller.request(method, path, **fields)

    async def until_empty(self) -> None:
        await until(lambda: not len(self.runtime.live_streams))


@asynccontextmanager
async def place(store: Path, ws: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Place]:
    fields: dict[str, Any] = {
        "model_store": store,
        "data_dir": store.parent / "data",
        "preload": ("tiny-events",),
    } | settings
    app = create_app(Settings(device="cpu", poll_seconds=0.2, **fields))
    options: dict[str, Any] = {"ws": "service.http.websocket:BoundedWebSocket", "ws_per_message_deflate": False}
    options |= ws or {}
    async with app.router.lifespan_context(app), serving(app, Limits(connections=40), **options) as server:
        runtime: Runtime = app.state.runtime
        await until(lambda: runtime.registry.ready)
        yield Place(port_of(server), runtime)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tiny_store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A server over the read-only store, one for all tests that need no other."""
    async with place(tiny_store_root, data_dir=tmp_path_factory.mktemp("data")) as running:
        yield running


async def heard(socket: Any) -> Messages:
    """Everything that the server says until it closes."""
    found: Messages = []
    try:
        while True:
            found.append(json.loads(await socket.recv()))
    except exceptions.ConnectionClosed:
        return found


async def play(where: Place, *messages: bytes | str, query: str = "", **options: Any) -> tuple[Messages, int | None]:
    """What the server says to these messages, and its close code."""
    async with client.connect(where.url(query), **options) as socket:
        for message in messages:
            await socket.send(message)
        return await heard(socket), socket.close_code


def frame(payload: bytes, opcode: int = BINARY, *, final: bool = True) -> bytes:
    """A frame as a client sends it, masked with zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else struct.pack(">BH", 0x80 | 126, size)
    return bytes([0x80 * final | opcode]) + length + bytes(4) + payload


class Raw:
    """A WebSocket by hand, which does only what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, where: Place, query: str = "", **options: Any) -> "Raw":
        raw = cls(*await asyncio.open_connection("127.0.0.1", where.port, **options))
        lines = [f"GET {STREAM}{query} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""]
        raw.writer.write("\r\n".join(lines).encode())
        assert (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        return raw

    async def close_code(self) -> int:
        """The code of the server's close frame, 0 if there is none before the end."""
        while True:
            try:
                opcode, size = await self.reader.readexactly(2)
                if size == 126:
                    [size] = struct.unpack(">H", await self.reader.readexactly(2))
                payload = await self.reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0
            if opcode & 15 == 8:
                return int.from_bytes(payload[:2], "big")

    def hang_up(self) -> None:
        self.writer.transport.abort()


async def test_bytes_cut_anywhere_give_the_decisions_of_the_prediction(here: Place) -> None:
    for seed in range(2):
        columns = {name: bar(seed)[:, index].tolist() for index, name in enumerate("txyp")}
        body = {"inputs": [{"events": columns}]}
        predicted = await here.http("POST", "/v1/models/tiny-events/predict?detail=timesteps", json=body)
        pieces = cut(as_bytes(bar(seed)), [5, 100, 101, 444])
        found, code = await play(here, *pieces, '{"type": "close"}', query="?scores=true")
        assert_as_predicted(decisions(found), predicted.json()["predictions"][0], 2)
        assert (found[0]["type"], found[-1]["type"], code) == ("ready", "closed", 1000)


async def test_a_client_that_just_closes_is_closed(here: Place) -> None:
    async with client.connect(here.url()) as socket:
        await socket.send(as_bytes(bar(1)))
    assert socket.close_code == 1000
    await here.until_empty()


@pytest.mark.parametrize(
    ("query", "path", "status", "code"),
    [
        ("?exit=never", STREAM, 422, "invalid_parameter"),
        ("?reorder_us=-1", STREAM, 422, "invalid_parameter"),
        ("?format=csv", STREAM, 422, "invalid_parameter"),
        ("?version=9", STREAM, 404, "version_not_found"),
        ("", STREAM.replace("events", "nothing"), 404, "model_not_found"),
        ("", STREAM.replace("events", "image"), 422, "wrong_input_kind"),
        ("", "/v1/models", 404, "not_found"),
    ],
)
async def test_what_cannot_be_opened_is_refused_with_the_body_of_every_failure(
    here: Place, query: str, path: str, status: int, code: str
) -> None:
    with pytest.raises(exceptions.InvalidStatus) as refused:
        await client.connect(here.url(query, path))
    response = refused.value.response
    assert (response.status_code, json.loads(response.body)["error"]["code"]) == (status, code)
    assert response.headers["x-request-id"]


async def test_a_key_is_needed_and_a_page_of_another_site_is_refused(tiny_store_root: Path, tmp_path: Path) -> None:
    async with place(tiny_store_root, data_dir=tmp_path, api_keys="right", max_live_streams_per_key=1) as where:
        wrong: list[dict[str, str]] = [{}, {"Authorization": "Bearer wrong"}]
        for headers in wrong:
            with pytest.raises(exceptions.InvalidStatus) as refused:
                await play(where, additional_headers=headers)
            assert refused.value.response.status_code == 401
            assert json.loads(refused.value.response.body)["error"]["code"] == "unauthorized"
        right: dict[str, Any] = {"additional_headers": {"Authorization": "Bearer right"}}
        async with client.connect(where.url(), **right):
            with pytest.raises(exceptions.InvalidStatus) as refused:
                await play(where, **right)
            assert refused.value.response.status_code == 429
            assert refused.value.response.headers["Retry-After"]
        await where.until_empty()
        assert (await play(where, '{"type": "close"}', **right))[1] == 1000


async def test_a_page_of_another_site_opens_no_stream(here: Place) -> None:
    with pytest.raises(exceptions.InvalidStatus) as refused:
        await play(here, origin="http://evil.example")
    assert refused.value.response.status_code == 403
    assert (await play(here, '{"type": "close"}', origin="http://localhost:3000"))[1] == 1000


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(b"\xff" * 13), 1003),
        (frame(b"{", TEXT), 1003),
        (frame(b"\xff", TEXT), 1007),
        (frame(b"x", 5), 1002),
        (bytes([0x82, 1, 65]), 1002),  # not masked
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
        (bytes([0x82, 0xFF]) + struct.pack(">Q", 2**40) + bytes(4), 1009),
        (frame(b"", final=False) + 2000 * frame(b"", 0, final=False), 1009),
    ],
)
async def test_garbage_closes_its_stream_alone(here: Place, sent: bytes, code: int) -> None:
    async with client.connect(here.url()) as other:
        raw = await Raw.open(here)
        raw.writer.write(sent)
        assert await raw.close_code() == code
        raw.hang_up()
        await until(lambda: len(here.runtime.live_streams) == 1)
        await other.send(as_bytes(bar(1)))
        await other.send('{"type": "close"}')
        assert len(await heard(other)) == EVENT_STEPS + 2


async def test_a_client_that_hangs_up_in_mid_message_leaves_nothing(here: Place) -> None:
    whole = decisions((await play(here, as_bytes(bar(1)), '{"type": "close"}'))[0])
    for end in (3, 20, 400):
        raw = await Raw.open(here)
        raw.writer.write((frame(as_bytes(bar(2))) + frame(as_bytes(bar(3))))[: -end or None])
        await asyncio.sleep(0.02)
        raw.hang_up()
    await here.until_empty()
    again = decisions((await play(here, as_bytes(bar(1)), '{"type": "close"}'))[0])
    assert [each | {"latency_ms": 0} for each in again] == [each | {"latency_ms": 0} for each in whole]


async def test_a_half_open_connection_is_closed(tiny_store_root: Path, tmp_path: Path) -> None:
    options = {"ws_ping_interval": 0.1, "ws_ping_timeout": 0.1}
    async with place(tiny_store_root, options, data_dir=tmp_path) as where:
        raw = await Raw.open(where)
        await until(lambda: len(where.runtime.live_streams) == 1)
        assert await raw.close_code() == 1011  # it answers no ping
        await where.until_empty()
        raw.hang_up()
        async with client.connect(where.url()) as answering:
            await asyncio.sleep(0.5)
            await answering.send('{"type": "close"}')
            assert len(await heard(answering)) == 2


async def test_limits_of_a_stream_close_it(tiny_store_root: Path, tmp_path: Path) -> None:
    limits: dict[str, Any] = {
        "live_idle_seconds": 0.1,
        "live_frame_bytes": 2000,
        "live_events_per_s": 100,
        "max_live_streams": 1,
    }
    async with place(tiny_store_root, data_dir=tmp_path, **limits, ws={"ws_max_size": 2000}) as where:
        found, code = await play(where, as_bytes(bar(1))[:130])
        assert ([each["type"] for each in found], code) == (["ready", "error", "closed"], 1008)
        assert found[1]["error"]["code"] == "request_timeout"
        await where.until_empty()
        found, code = await play(where, as_bytes(bar(1))[:1300], as_bytes(bar(2))[:1300])
        assert (found[-2]["error"]["code"], code) == ("too_many_events", 1008)
        await where.until_empty()
        assert (await play(where, bytes(2001)))[1] == 1009


async def test_a_client_that_does_not_read_is_closed(tiny_store_root: Path, tmp_path: Path) -> None:
    async with place(tiny_store_root, data_dir=tmp_path, live_send_seconds=0.2) as where:
        raw = await Raw.open(where, "?scores=true", limit=1024)
        events = bar(1)[:1].repeat(60, axis=0)
        events[:, 0] += 100 * EVENT_STEP_US * np.arange(60)
        raw.writer.write(frame(as_bytes(events)))  # thousands of decisions
        await where.until_empty()
        assert await raw.close_code() == 1013
        raw.hang_up()


async def test_a_flood_of_pings_that_are_not_read_stops(here: Place) -> None:
    raw = await Raw.open(here, limit=1024)
    flood = 1000 * frame(bytes(100), PING)
    sent = 0
    try:
        while sent < 20_000_000:
            raw.writer.write(flood)
            async with asyncio.timeout(1):
                await raw.writer.drain()
            sent += len(flood)
    except TimeoutError:
        pass
    assert sent < 20_000_000
    raw.hang_up()
    await here.until_empty()


async def test_many_small_messages_do_not_hold_up_others(here: Place) -> None:
    raw = await Raw.open(here)
    raw.writer.write(40_000 * frame(b""))
    raw.writer.write(frame(b'{"type": "close"}', TEXT))
    found, code = await play(here, as_bytes(bar(1)), '{"type": "close"}')
    assert (len(found), code) == (EVENT_STEPS + 2, 1000)
    assert len(here.runtime.live_streams) == 1, "the other one is still reading"
    assert await raw.close_code() == 1000
    raw.hang_up()


async def test_a_stream_stays_on_its_version_whatever_becomes_of_it(store_root: Path, tmp_path: Path) -> None:
    shutil.copytree(store_root / "tiny-events" / "1", store_root / "tiny-events" / "2")
    async with place(store_root, data_dir=tmp_path) as where, client.connect(where.url()) as socket:
        assert json.loads(await socket.recv())["version"] == 1
        await socket.send(as_bytes(bar(1))[:500])
        changed = await where.http("PUT", "/v1/models/tiny-events/default", json={"version": 2})
        assert changed.json()["default_version"] == 2
        deleted = await where.http("DELETE", "/v1/models/tiny-events/versions/1")
        assert deleted.status_code == 200
        assert not os.path.exists(store_root / "tiny-events" / "1")
        await socket.send(as_bytes(bar(1))[500:])
        await socket.send('{"type": "close"}')
        later, _ = await play(where, as_bytes(bar(1)), '{"type": "close"}')
        assert later[0]["version"] == 2
        found = await heard(socket)
        assert [each["score"] for each in decisions(found)] == [each["score"] for each in decisions(later)]
        assert len(decisions(found)) == EVENT_STEPS


async def test_an_upgrade_behind_another_request_is_answered_as_http(here: Place) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
    head = "HTTP/1.1\r\nHost: localhost\r\n"
    upgrade = "Connection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"
    writer.write(f"GET /health/live {head}\r\nGET {STREAM} {head}{upgrade}".encode())
    answers = await asyncio.wait_for(reader.read(), 30)
    assert answers.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 101" not in answers
    writer.close()


async def test_a_connection_gives_back_its_place(here: Place) -> None:
    for _ in range(41):  # one more than there are places
        await play(here, '{"type": "close"}')
    raw = await Raw.open(here)
    raw.hang_up()
    await here.until_empty()
    assert (await here.http("GET", "/health/live")).status_code == 200
