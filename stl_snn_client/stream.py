"""`Stream`: live events over a WebSocket, with methods that wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from typing import Any, Self

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from stl_snn_client.answers import Decision, Ready, StreamTotals
from stl_snn_client.call import Query
from stl_snn_client.conversation import Conversation
from stl_snn_client.errors import ConnectionFailed, ServiceUnreachable, error_of_response
from stl_snn_client.options import Options


class Stream:
    """A stream of live events; iterating over it gives a decision for each time step.

    One thread may send while another reads. After `close`, or an error, the iteration ends and `totals` is there. The
    end of the `with` statement closes the stream and reads what is left.
    """

    def __init__(self, options: Options, model: str, format: str, parameters: Mapping[str, Query]) -> None:
        self._said = Conversation(options, model, format, parameters)
        self._socket: ClientConnection | None = None
        self._held = ExitStack()

    @property
    def ready(self) -> Ready | None:
        """The version that runs, the length of its time steps and their number."""
        return self._said.ready

    @property
    def totals(self) -> StreamTotals | None:
        """The sums over all steps, once the stream has ended."""
        return self._said.totals

    def __enter__(self) -> Self:
        try:
            with ExitStack() as held:
                socket = held.enter_context(connect(self._said.url, **self._said.opening))
                self._said.take(socket.recv())
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and not self._said.has_asked_to_close:
                self.close()
            if kind is None:
                for _decision in self:
                    pass
        finally:
            self._held.close()

    def send(self, events: Any) -> None:
        """Send events: bytes in the stream's format, or an array or mapping with t, x, y and p."""
        for message in self._said.events(events):
            self._send(message)

    def flush(self) -> None:
        """Have the step that has begun decided, without waiting for an event of a later one."""
        self._send(self._said.command("flush"))

    def reset(self) -> None:
        """Begin anew: the network forgets, and the next event begins step 0."""
        self._send(self._said.command("reset"))

    def close(self) -> None:
        """Send no more events; the decisions that are left can still be read."""
        if self._said.totals is None and not self._said.has_asked_to_close:
            self._send(self._said.command("close"))

    def receive(self, timeout: float | None = None) -> Decision | None:
        """The next decision, None at the end; `TimeoutError` if none comes in so many seconds."""
        while True:
            try:
                decision = self._said.take(self._connection.recv(timeout))
            except ConnectionClosed as error:
                self._end(error)
                return None
            if decision is not None:
                return decision

    def __iter__(self) -> Iterator[Decision]:
        while (decision := self.receive()) is not None:
            yield decision

    @property
    def _connection(self) -> ClientConnection:
        if self._socket is None:
            raise RuntimeError("open the stream by `with client.stream(...) as stream`")
        return self._socket

    def _send(self, message: bytes | str) -> None:
        try:
            self._connection.send(message)
        except ConnectionClosed as error:
            with suppress(ConnectionClosed):
                while True:  # what the service said before it closed
                    self._said.take(self._connection.recv())
            self._end(error)

    def _end(self, error: ConnectionClosed) -> None:
        """Raise what ended the stream, if it was not asked for."""
        closed = error.rcvd
        self._said.check_end(closed.code if closed else None, closed.reason if closed else None)
