"""uvicorn's HTTP/1.1 protocol with bounds on what it would otherwise wait for, or keep, without end."""

import asyncio
import uuid
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from contract.errors import BadRequest, RequestTimeout, ServiceError
from service.http.failures import error_response

HEAD_SECONDS = 10.0
HEAD_BYTES = 64 * 1024


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    From its opening, and from each answer on, the whole head of the next request must be there within `head_seconds`;
    what is left of a refused body has the same time. A head, or what else is no body (trailers, extensions of chunks),
    has at most `head_bytes` and the rest of one read. What is wrong with a request before the application sees it is
    answered by the body that every failure has, and closes the connection.
    """

    head_seconds = HEAD_SECONDS
    head_bytes = HEAD_BYTES

    _head_timer: asyncio.TimerHandle | None = None
    _held = 0
    _running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timer, and tell the request that is being answered, which need not be the latest one."""
        self._stop_waiting()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, and refuse it where the parser keeps too much of it to itself."""
        if self.transport.is_closing():
            return
        self._held += len(data)
        super().data_received(data)
        if self._held > self.head_bytes and not self.transport.is_closing():
            self._refuse(BadRequest(f"the head of the request has more than {self.head_bytes} bytes"))

    def on_headers_complete(self) -> None:
        """A request begins."""
        self._held = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of a body, which the application's limit counts."""
        self._held = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is all there."""
        self._held = 0
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it waits already."""
        is_idle = not self.pipeline
        super().on_response_complete()
        if is_idle and not self.transport.is_closing():
            self._wait_for_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(BadRequest("this is not a request of HTTP/1.1"))

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        if not self.transport.is_closing():
            self._refuse(RequestTimeout(f"the head of a request must be there within {self.head_seconds:g} s"))

    def _refuse(self, error: ServiceError) -> None:
        """Answer and close, after the answers to the requests that are all there."""
        latest: Any = self.cycle if self.cycle is not None and not self.cycle.response_complete else None
        if latest is not None and not latest.more_body:
            latest.keep_alive = False
            self.flow.pause_reading()
            return
        if latest is None or not (latest.response_started or self.pipeline):
            headers = {"Connection": "close", "X-Request-ID": uuid.uuid4().hex}
            self.transport.write(_rendered(error, headers))
        self.transport.close()


def _rendered(error: ServiceError, headers: dict[str, str]) -> bytes:
    response = error_response(error, headers)
    status = HTTPStatus(response.status_code)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(response.body)])
