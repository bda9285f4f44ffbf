"""One WebSocket: uvicorn's, with bounds on what a client can make it keep, and on what a turn of the loop does."""

import asyncio
from typing import Any

from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from service.http.connections import Connections, Reading

PIECE_BYTES = 4096  # parsed in a turn of the loop: hundreds of empty messages, for which Python takes milliseconds
MAX_FRAGMENTS = 1024  # of a message
CLOSE_SECONDS = 3.0  # for the client's part of the closing handshake

_TOO_BIG = 1009


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket, within the limits of its `Connections`.

    It reads no further while the application has not taken the last message, or while the client does not read. A
    client that reads too slowly loses its connection, and so does one that does not answer a ping. A message has at
    most `ws_max_size` bytes and `MAX_FRAGMENTS` fragments. At shutdown the application closes it.
    """

    def __init__(self, config: Config, server_state: Connections, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.close_timeout = CLOSE_SECONDS
        self.peer = ""
        self._shared = server_state
        self._reading: Reading | None = None
        self._unparsed = bytearray()
        self._next: asyncio.Handle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place, and tell the application."""
        self._shared.leave(self.peer)
        self._unparsed.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Keep what has arrived until it can be parsed."""
        self._unparsed += data
        if len(self._unparsed) == len(data):
            self._parse()
        if self._unparsed and not self.transport.is_closing():
            self.read_paused = True
            self.transport.pause_reading()

    async def receive(self) -> Any:
        """The next message; once the application has all of them, more are read."""
        message = await self.queue.get()
        self._go_on()
        return message

    async def send(self, message: Any) -> None:
        """Send a message, once the client has read most of those before; but a close at once."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)

    def pause_writing(self) -> None:
        """Begin to watch a client that does not keep up."""
        self._reading = Reading(self._shared.limits, self.transport, self.loop.time())
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on: the client has read most of what was written."""
        self._reading = None
        super().resume_writing()
        self._go_on()

    def handle_cont(self, event: Any) -> None:
        """Take a fragment of a message, which may be empty."""
        if len(self.frames) >= MAX_FRAGMENTS:
            self.conn.fail(_TOO_BIG, f"a message has more than {MAX_FRAGMENTS} fragments")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def shutdown(self) -> None:
        """Leave an open WebSocket to the application, which knows that the server shuts down."""
        if not self.handshake_complete:
            super().shutdown()

    def check(self, now: float) -> None:
        """End what has taken too long by `now`, a time of the event loop; called all along."""
        if self._reading is not None:
            if self._reading.is_too_slow(now):
                self._shared.aborted += 1
                self.transport.abort()
        elif self.transport.is_closing():  # once the client has read the rest
            self._reading = Reading(self._shared.limits, self.transport, now)
        elif not self.handshake_initiated:  # the library cannot read the head
            self.transport.close()

    def _parse(self) -> None:
        """Parse a piece, and the next one in another turn of the loop."""
        self._next = None
        if self.transport.is_closing() or not self._unparsed or not self._has_room():
            return
        piece = bytes(self._unparsed[:PIECE_BYTES])
        del self._unparsed[:PIECE_BYTES]
        super().data_received(piece)
        self._go_on()

    def _go_on(self) -> None:
        if not self._has_room() or self.transport.is_closing():
            return
        if self._unparsed:
            if self._next is None:
                self._next = self.loop.call_soon(self._parse)
        elif self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _has_room(self) -> bool:
        """Whether the application has taken every message, and the client reads."""
        return (self.queue.empty() or self.close_sent) and self.writable.is_set()
