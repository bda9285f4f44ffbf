"""`AsyncStream`: live events over a WebSocket, with coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from stl_snn_client.answers import Decision, Ready, StreamTotals
from stl_snn_client.call import Query
from stl_snn_client.conversation import Conversation
from stl_snn_client.errors import ConnectionFailed, ServiceUnreachable, error_of_response
from stl_snn_client.options import Options


class AsyncStream:
    """A stream of live events; iterating over it gives a decision for each time step.

    One task may send while another reads. After `close`, or an error, the iteration ends and `totals` is there. The
    end of the `async with` statement closes the stream and reads what is left.
    """

    def __init__(self, options: Options, model: str, format: str, parameters: Mapping[str, Query]) -> None:
        self._said = Conversation(options, model, format, parameters)
        self._socket: ClientConnection | None = None
        self._held = AsyncExitStack()

    @property
    def ready(self) -> Ready | None:
        """The version that runs, the length of its time steps and their number."""
        return self._said.ready

    @property
    def totals(self) -> StreamTotals | None:
        """The sums over all steps, once the stream has ended."""
        return self._said.totals

    async def __aenter__(self) -> Self:
        try:
            async with AsyncExitStack() as held:
                socket = await held.enter_async_context(connect(self._said.url, **self._said.opening))
                self._said.take(await socket.recv())
                self._socket, self._held = socket, held.pop_all()
        except InvalidStatus as error:
            response = error.response
            raise error_of_response(response.status_code, bytes(response.body or b""), response.headers) from error
        except ConnectionClosed as error:
            self._end(error)
        except OSError as error:
            raise ServiceUnreachable(f"the stream could not be opened: {error}") from error
        except WebSocketException as error:
            raise ConnectionFailed(f"the stream could not be opened: {error}") from error
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and not self._said.has_asked_to_close:
                await self.close()
            if kind is None:
                async for _decision in self:
                    pass
        finally:
            await self._held.aclose()

    async def send(self, events: Any) -> None:
        """Send events: bytes in the stream's format, or an array or mapping with t, x, y and p."""
        for message in self._said.events(events):
            await self._send(message)

    async def flush(self) -> None:
        """Have the step that has begun decided, without waiting for an event of a later one."""
        await self._send(self._said.command("flush"))

    async def reset(self) -> None:
        """Begin anew: the network forgets, and the next event begins step 0."""
        await self._send(self._said.command("reset"))

    async def close(self) -> None:
        """Send no more events; the decisions that are left can still be read."""
        if self._said.totals is None and not self._said.has_asked_to_close:
            await self._send(self._said.command("close"))

    async def receive(self, timeout: float | None = None) -> Decision | None:
        """The next decision, None at the end; `TimeoutError` if none comes in so many seconds."""
        while True:
            try:
                async with asyncio.timeout(timeout):
                    message = await self._connection.recv()
                decision = self._said.take(message)
            except ConnectionClosed as error:
                self._end(error)
                return None
            if decision is not None:
                return decision

    async def __aiter__(self) -> AsyncIterator[Decision]:
        while (decision := await self.receive()) is not None:
            yield decision

    @property
    def _connection(self) -> ClientConnection:
        if self._socket is None:
            raise RuntimeError("open the stream by `async with client.stream(...) as stream`")
        return self._socket

    async def _send(self, message: bytes | str) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            with suppress(ConnectionClosed):
                while True:  # what the service said before it closed
                    self._said.take(await self._connection.recv())
            self._end(error)

    def _end(self, error: ConnectionClosed) -> None:
        """Raise what ended the stream, if it was not asked for."""
        closed = error.rcvd
        self._said.check_end(closed.code if closed else None, closed.reason if closed else None)
