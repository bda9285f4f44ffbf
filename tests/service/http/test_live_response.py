"""Live streams over HTTP alone: decisions come while the body is still being sent."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from contract.settings import Settings
from service.app import create_app
from service.http.connections import Limits
from service.runtime import Runtime
from tests.service.app import until
from tests.service.http.talk import port_of, serving
from tests.service.serving import check
from tests.service.streams.streaming import Messages, as_bytes, as_text, assert_as_predicted, bar, cut, decisions
from tests.tiny import EVENT_STEP_US, EVENT_STEPS

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAM = "/v1/models/tiny-events/stream"
BYTES = "application/octet-stream"
LINES = "application/x-ndjson"
# A stream that is slower than every request may be is within its own limits.
IMPATIENT = Limits(patience_seconds=0.3, bytes_per_second=1_000_000)


@asynccontextmanager
async def place(store: Path, **settings: Any) -> AsyncIterator[tuple[FastAPI, int]]:
    fields: dict[str, Any] = {"model_store": store, "preload": ("tiny-events",), "max_body_bytes": 2000} | settings
    app = create_app(Settings(device="cpu", request_timeout_ms=500, **fields))
    async with app.router.lifespan_context(app), serving(app, IMPATIENT) as server:
        await until(lambda: app.state.runtime.registry.ready)
        yield app, port_of(server)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tiny_store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[FastAPI, int]]:
    """A server over the read-only store, one for all tests that need no other."""
    async with place(tiny_store_root, data_dir=tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def port(here: tuple[FastAPI, int]) -> int:
    return here[1]


@pytest.fixture
def runtime(here: tuple[FastAPI, int]) -> Runtime:
    found: Runtime = here[0].state.runtime
    return found


class Post:
    """A request whose body is sent piece by piece, and the lines of its response so far."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def begin(cls, port: int, query: str = "", media: str = BYTES, *headers: str, **options: Any) -> "Post":
        post = cls(*await asyncio.open_connection("127.0.0.1", port, **options))
        lines = [f"POST {STREAM}{query} HTTP/1.1", "Host: localhost", f"Content-Type: {media}"]
        post.writer.write("\r\n".join([*lines, "Transfer-Encoding: chunked", *headers, "", ""]).encode())
        return post

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")

    async def line(self) -> dict[str, Any] | None:
        """The next message, None after the last one, and `IncompleteReadError` where the response is cut off."""
        size = int(await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 30), 16)
        chunk = await self.reader.readexactly(size + 2)
        message: dict[str, Any] | None = json.loads(chunk) if size else None
        return message

    async def rest(self) -> Messages:
        found: Messages = []
        while (message := await self.line()) is not None:
            found.append(message)
        self.writer.close()
        return found


async def play(port: int, *pieces: bytes, query: str = "", media: str = BYTES) -> Messages:
    post = await Post.begin(port, query, media)
    post.send(*pieces)
    post.end()
    assert (await post.head()).startswith(b"HTTP/1.1 200 ")
    return await post.rest()


async def test_decisions_come_while_the_body_comes_in_and_are_those_of_the_prediction(port: int) -> None:
    post = await Post.begin(port, "?scores=true")
    head = await post.head()
    assert b"200 OK" in head
    assert b"content-type: application/x-ndjson" in head
    assert b"connection: close" in head
    ready = await post.line()
    assert ready is not None
    assert (ready["type"], ready["timesteps"]) == ("ready", EVENT_STEPS)
    whole = as_bytes(bar(1))
    found: Messages = []
    steps = (bar(1)[:, 0] - bar(1)[0, 0]) // EVENT_STEP_US
    for step in range(EVENT_STEPS):
        first = int((steps <= step).sum()) * 13 + 13  # up to the first event of the next step
        last = (int((steps < step).sum()) + (step > 0)) * 13
        post.send(whole[last:first])
        if step < EVENT_STEPS - 1:
            message = await post.line()
            assert message is not None
            found.append(message)
    post.end()
    *more, closed = await post.rest()
    body = {"inputs": [{"events": {name: bar(1)[:, index].tolist() for index, name in enumerate("txyp")}}]}
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"http://127.0.0.1:{port}{STREAM.replace('stream', 'predict')}?detail=timesteps",
            content=json.dumps(body),
            headers={"Content-Type": "application/json"},
        )
    assert_as_predicted([*found, *more], answer.json()["predictions"][0], 2)
    assert closed["type"] == "closed"


async def test_text_messages_are_lines_however_they_are_cut(port: int) -> None:
    lines = [as_text(bar(2)[:9]), "", as_text(bar(2)[9:]), '{"type": "flush"}', '{"type": "reset"}', as_text(bar(3))]
    for end in ("", "\n", '\n{"type": "close"}\nignored'):
        body = ("\n".join(lines) + end).encode()
        found = await play(
            port, *[piece for piece in cut(body, [3, 50, 51, 400, 700]) if piece], query="?format=json", media=LINES
        )
        assert [each["step"] for each in decisions(found)] == 2 * list(range(EVENT_STEPS))
        assert found[-1]["type"] == "closed"


@pytest.mark.parametrize(
    ("query", "media", "body", "code"),
    [
        ("", BYTES, b"\xff" * 13, "invalid_events"),
        ("", BYTES, b"\x00" * 12, "invalid_events"),
        ("?format=json", LINES, b"{\n", "invalid_json"),
        ("?format=json", LINES, b"\xff\n", "invalid_json"),
        ("?format=json", LINES, b"x" * 70_000, "body_too_large"),
    ],
)
async def test_what_is_not_events_ends_the_stream_with_the_reason(
    port: int, query: str, media: str, body: bytes, code: str
) -> None:
    *_, error, closed = await play(port, body, query=query, media=media)
    assert (error["error"]["code"], closed["type"]) == (code, "closed")


async def test_what_cannot_be_opened_is_refused_as_any_other_request(port: int, runtime: Runtime) -> None:
    cases = [
        ("tiny-events", "?exit=never", BYTES, 422, "invalid_parameter", "exit"),
        ("tiny-events", "?format=x", BYTES, 422, "invalid_parameter", "format"),
        ("tiny-events", "", "text/csv", 415, "unsupported_media_type", None),
        ("tiny-events", "?format=json", BYTES, 415, "unsupported_media_type", None),
        ("tiny-image", "", BYTES, 422, "wrong_input_kind", None),
        ("nothing", "", BYTES, 404, "model_not_found", "name"),
    ]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for name, query, media, status, code, param in cases:
            path = STREAM.replace("tiny-events", name) + query
            check(await client.post(path, content=b"", headers={"Content-Type": media}), status, code, param)
    assert not len(runtime.live_streams)


async def test_a_stream_outlasts_the_time_the_size_and_the_speed_of_other_requests(port: int) -> None:
    post = await Post.begin(port)
    await post.head()
    for index in range(4):
        post.send(as_bytes(bar(1, at_us=1_000_000 * (index + 1))))
        await asyncio.sleep(0.3)
    post.end()
    assert (await post.rest())[-1]["events"] == 4 * len(bar(1))


async def test_a_body_without_data_for_too_long_ends_its_stream(tiny_store_root: Path, tmp_path: Path) -> None:
    async with place(tiny_store_root, data_dir=tmp_path, live_idle_seconds=0.2, max_live_streams=1) as (_, port):
        post = await Post.begin(port)
        await post.head()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            check(await client.post(STREAM, content=b"", headers={"Content-Type": BYTES}), 429, "overloaded", None)
        *_, error, closed = await post.rest()
        assert (error["error"]["code"], closed["type"]) == ("request_timeout", "closed")
        assert (await play(port))[-1]["type"] == "closed"


async def test_a_client_that_does_not_read_or_hangs_up_leaves_nothing(tiny_store_root: Path, tmp_path: Path) -> None:
    async with place(tiny_store_root, data_dir=tmp_path, live_send_seconds=0.2) as (app, port):
        streams = app.state.runtime.live_streams
        post = await Post.begin(port, "?scores=true", limit=1024)
        events = bar(1)[:1].repeat(60, axis=0)
        events[:, 0] += [100 * EVENT_STEP_US * index for index in range(60)]
        await post.head()
        post.send(as_bytes(events))
        await until(lambda: not len(streams))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await post.rest()
        post.writer.transport.abort()
        for piece in (b"", as_bytes(bar(1))[:50]):
            post = await Post.begin(port)
            post.send(*filter(None, [piece]))
            await post.head()
            post.writer.transport.abort()
        await until(lambda: not len(streams))


async def test_a_client_that_expects_it_is_told_to_go_on(port: int) -> None:
    post = await Post.begin(port, "", BYTES, "Expect: 100-continue")
    assert b"100 Continue" in await post.head()
    assert b"200 OK" in await post.head()
    post.send(as_bytes(bar(1)))
    post.end()
    assert len(await post.rest()) == EVENT_STEPS + 2


async def test_a_shutdown_ends_the_response(here: tuple[FastAPI, int], runtime: Runtime) -> None:
    post = await Post.begin(here[1])
    await post.head()
    await until(lambda: len(runtime.live_streams) == 1)
    runtime.live_streams.stop()
    try:
        assert [each["type"] for each in await post.rest()] == ["ready", "error", "closed"]
    finally:
        runtime.live_streams._is_stopping = False
