"""`LiveResponse`: a stream of live events over HTTP alone, its decisions as lines while its body still comes in."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from contract.errors import InvalidJson, Overloaded, TooLarge, UnsupportedMediaType
from service.http.request_body import receive_piece
from service.inference.admission import ClientLeft
from service.streams.live_stream import LONGEST_TEXT, LiveStream

BYTES = "application/octet-stream"
LINES = "application/x-ndjson"


def check_live_body(request: Request, *, is_text: bool) -> None:
    """`UnsupportedMediaType` for a body that does not hold the stream's messages: `is_text`, lines, or else bytes."""
    expected = LINES if is_text else BYTES
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != expected:
        raise UnsupportedMediaType(f"the Content-Type is {found or 'missing'!r}; it must be {expected}")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise UnsupportedMediaType(f"the Content-Encoding is {coding!r}; send the body without an encoding")


class LiveResponse(Response):
    """Runs `stream` on the request's body, and sends what it says as lines of JSON; the connection ends with it.

    The body is bytes of events, or with `is_text` lines, each a text message.
    """

    media_type = LINES

    def __init__(self, stream: LiveStream, *, is_text: bool) -> None:
        super().__init__(headers={"Connection": "close"})
        del self.headers["content-length"]
        self._stream = stream
        self._is_text = is_text

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response while the body comes in; `ClientDisconnect` for a client that has left, or is too slow."""

        async def send_line(message: bytes) -> None:
            await send({"type": "http.response.body", "body": message + b"\n", "more_body": True})

        with self._stream:
            request = Request(scope, receive)
            first = asyncio.create_task(receive_piece(request))
            first.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may ask for it
            await asyncio.sleep(0)  # a client that expects it is told to send its body, before the response begins
            pieces = _pieces(request, first)
            body = _lines(pieces) if self._is_text else pieces
            try:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                error = await self._stream.run(partial(anext, body, None), send_line)
            except ClientLeft:
                raise ClientDisconnect from None
            finally:
                first.cancel()
        if isinstance(error, Overloaded):
            raise ClientDisconnect  # only the end of the connection frees what it has not read
        await send({"type": "http.response.body", "body": b""})


async def _pieces(request: Request, first: Awaitable[tuple[bytes, bool]]) -> AsyncGenerator[bytes]:
    """The body of a request as it arrives; `ClientLeft`."""
    try:
        piece, has_more = await first
        yield piece
        while has_more:
            piece, has_more = await receive_piece(request)
            yield piece
    except ClientDisconnect:
        raise ClientLeft from None


async def _lines(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[str]:
    """The lines of a body, without the empty ones; `TooLarge` for one that is longer than a text message may be."""
    rest = bytearray()
    async for piece in pieces:
        *ends, _ = piece.split(b"\n")
        for end in ends:
            rest += end
            if rest:
                yield _text(rest)
            rest = bytearray()
        rest += piece[piece.rfind(b"\n") + 1 :]
        if len(rest) > LONGEST_TEXT:
            raise TooLarge(f"a line has {LONGEST_TEXT} bytes at most")
    if rest:
        yield _text(rest)


def _text(line: bytearray) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise InvalidJson("a line is not UTF-8") from None
