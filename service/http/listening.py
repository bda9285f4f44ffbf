"""A server that accepts its own connections: several a turn of the event loop, and never more than it can hold.

The event loop's own servers accept one connection a turn. Under load a turn takes long, and then it is new connections
that wait, for seconds. They also accept until the process has no file descriptors left, and then drop whoever comes.
"""

import asyncio
import errno
import logging
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from contract.errors import TooManyConnections
from service.http.connections import Connections, Gate, Limits, client_of
from service.http.protocol import BoundedProtocol
from service.http.raw_response import RawResponse

BACKLOG = 2048
ACCEPTED_AT_ONCE = 64
ACCEPTED_FROM_SHARED = 4  # the other processes take the next ones
# What the system keeps of the answers to a client that does not read; left alone, it keeps megabytes for each.
UNREAD_BYTES = 128 * 1024
_KEPT_REFUSALS = 64
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
BEAT_SECONDS = 0.1
BEATS_PER_CHECK = 5

log = logging.getLogger(__name__)


class Listener:
    """Accepts connections on some sockets and gives each a protocol, or refuses it where there is no place."""

    def __init__(
        self,
        sockets: list[socket.socket],
        connections: Connections,
        create: Callable[[], BoundedProtocol],
        *,
        at_once: int = ACCEPTED_AT_ONCE,
    ) -> None:
        self.sockets = sockets
        self._at_once = at_once
        self._connections = connections
        self._create = create
        self._loop = asyncio.get_running_loop()
        self._refusal = RawResponse(TooManyConnections("too many connections are open; try again later"))
        # Closed at once, a connection is reset when its request arrives, and its client may not see the response.
        self.refused: deque[socket.socket] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        for each in sockets:
            each.setblocking(False)
        self._resume()

    def close(self) -> None:
        """Accept nothing more."""
        for each in self.sockets:
            self._loop.remove_reader(each)
            each.close()
        self.sockets = []
        self.forget_refused(0)

    async def wait_closed(self) -> None:
        """Return at once: nothing outlasts `close`."""

    def forget_refused(self, kept: int = _KEPT_REFUSALS) -> None:
        """Close the connections that were refused, except the latest."""
        while len(self.refused) > kept:
            self.refused.popleft().close()

    def _resume(self) -> None:
        for each in self.sockets:
            self._loop.add_reader(each, self._accept, each)

    def _pause(self) -> None:
        for each in self.sockets:
            self._loop.remove_reader(each)
        self._loop.call_later(1, self._resume)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(self._at_once):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_DESCRIPTORS:
                    raise
                log.error("no connection can be accepted for a second: %s", error.strerror)
                self._pause()
                return
            accepted.setblocking(False)
            client = client_of(address[0])
            if self._connections.enter(client):
                task = self._loop.create_task(self._connect(accepted, client))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self._refuse(accepted)

    async def _connect(self, accepted: socket.socket, client: str) -> None:
        protocol = self._create()
        protocol.peer = client
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, accepted)
        except OSError:
            accepted.close()
            if protocol.transport is None:  # else the protocol frees its place
                self._connections.leave(client)

    def _refuse(self, accepted: socket.socket) -> None:
        with suppress(OSError):
            accepted.send(self._refusal.render(self._connections.default_headers))
            accepted.shutdown(socket.SHUT_WR)
        self.refused.append(accepted)
        self.forget_refused()


class ListeningServer(uvicorn.Server):
    """uvicorn with a `Listener`, and with bounds on its connections."""

    server_state: Connections
    listener: Listener

    def __init__(self, config: uvicorn.Config, limits: Limits, gate: Gate | None = None) -> None:
        super().__init__(config)
        self.server_state = Connections(limits, gate)
        self._beats: asyncio.TimerHandle | None = None
        self._beat_at = 0.0
        self._beat_count = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen."""
        await super().startup(sockets=[])
        await self.prepare()
        config = self.config

        def create() -> BoundedProtocol:
            return BoundedProtocol(config, self.server_state, self.lifespan.state)

        try:
            listening = sockets or listen(config.host, config.port)
        except OSError as error:
            log.error("cannot listen on %s port %d: %s", config.host, config.port, error.strerror or error)
            await self.lifespan.shutdown()
            sys.exit(STARTUP_FAILURE)
        at_once = ACCEPTED_FROM_SHARED if sockets else ACCEPTED_AT_ONCE
        self.listener = Listener(listening, self.server_state, create, at_once=at_once)
        self.servers = [self.listener]  # type: ignore[list-item]
        self._log_started_message(listening)
        self._beat_at = asyncio.get_running_loop().time()
        self._beat()

    async def prepare(self) -> None:
        """Do what remains between the start of the application and the first connection."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and wait for the connections."""
        await super().shutdown(sockets)
        if self._beats is not None:
            self._beats.cancel()

    def beat(self, lag: float) -> None:
        """Look after the connections; called ten times a second, with the seconds by which the call is late."""
        self._beat_count += 1
        if self._beat_count % BEATS_PER_CHECK == 0:
            for connection in list(self.server_state.connections):
                connection.check(self._beat_at)  # type: ignore[union-attr]

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        due, self._beat_at = self._beat_at + BEAT_SECONDS, loop.time()
        self._beats = loop.call_later(BEAT_SECONDS, self._beat)
        self.beat(max(0.0, self._beat_at - due))


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on the port at each address of `host`; `OSError` where that is impossible."""
    sockets: list[socket.socket] = []
    try:
        for family, kind, number, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            each = socket.socket(family, kind, number)
            sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)  # which its connections inherit
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind(address)
            each.listen(BACKLOG)
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets
