"""One connection: uvicorn's HTTP/1.1 with bounds on what it would otherwise wait for, or keep, without end."""

import asyncio
import re
from functools import lru_cache
from typing import Any

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from contract.errors import BadRequest, RequestTimeout, ServiceError, UnsupportedTransferCoding
from service.http.connections import Connections, Progress, Reading
from service.http.entrance.admission import end_early
from service.http.entrance.body_limit import is_live_stream
from service.http.raw_response import RawResponse

_NOTED_HEADERS = frozenset({b"host", b"transfer-encoding", b"expect", b"x-request-id"})
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._~-]+)?\])(?::[0-9]*)?")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_MALFORMED = "this is not a valid HTTP/1.1 request"


class BoundedProtocol(HttpToolsProtocol):
    """One connection, within the limits of its `Connections`.

    - The whole head of a request arrives within `head_seconds` of the connection or of the answer before it; so does
      the rest of a refused body. A head, and whatever else is not body (trailers, chunk extensions), has at most
      `head_bytes` and the rest of one read.
    - A body that arrives too slowly ends its request, and a client that reads too slowly loses its connection.
    - A request for which the gate has no room is answered before the application sees it, and its body is skipped.
    - An upgrade to WebSockets hands the connection over, if the server has a protocol for them. Every other one is
      ignored, as RFC 9110 allows.
    - What is wrong with a request before the application sees it is answered with the body that every failure has, and
      closes the connection.
    """

    def __init__(self, config: Config, server_state: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, server_state, *args, **kwargs)
        self.peer = ""
        self._shared = server_state
        self._limits = server_state.limits
        self._running: RequestResponseCycle | None = None
        self._host: bytes | None = None
        self._request_id = b""
        self._fault: ServiceError | None = None
        self._is_upgrade = False
        self._skips_body = False
        self._is_used = False
        self._in_message = False
        self._held = 0  # bytes read since the last one of a body
        self._head_since: float | None = None
        self._body = Progress(self._limits)
        self._reading: Reading | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._head_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place, and tell the request that is being answered, which need not be the latest one."""
        self._shared.leave(self.peer)
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
            end_early(self._running.scope, "client_left")
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, and refuse it where the parser keeps too much of it to itself."""
        if self.transport.is_closing():
            return
        self._held += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self._is_for_websocket():
                self._open_websocket(rest)
                return
            self._go_on_without_upgrade(rest)
        except httptools.HttpParserError:
            self._refuse(self._fault or BadRequest(_MALFORMED))
        if self._held > self._limits.head_bytes and not self.transport.is_closing():
            self._refuse(BadRequest(f"the head of the request has more than {self._limits.head_bytes} bytes"))

    def on_message_begin(self) -> None:
        """Begin with a head."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_message = True
        self._host = self._fault = None
        self._request_id = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one header, and note those that decide how the request is read."""
        name = name.lower()
        if name in _NOTED_HEADERS:
            self._note_header(name, value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Begin a request, or refuse it."""
        self._is_used = True
        self._held = 0
        self._head_since = None
        version, method = self.parser.get_http_version(), self.parser.get_method()
        if method == b"CONNECT":
            self._fault = BadRequest("this service is not a proxy")
        elif self._host is None and version == "1.1":
            self._fault = BadRequest("the request has no Host header")
        if self._fault is not None:
            raise self._fault  # which the parser turns into an error of its own
        if self.parser.should_upgrade():
            self._is_upgrade = True
            return
        if self.url[:1] != b"/":
            self._take_host_of_url()
        gate = self._shared.gate
        if gate is not None and (response := gate.refusal(method, self.url)) is not None and self._is_idle():
            self._skip(response, keep_alive=version == "1.1" and self.parser.should_keep_alive())
            return
        self._body.begin(self.loop.time())
        self.scope = {  # type: ignore[typeddict-item] # the rest is filled in by uvicorn
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, whose size the application bounds."""
        self._held = 0
        if not self._skips_body:
            self._body.bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._in_message = False
        self._held = 0
        if self._skips_body:
            self._skips_body = False
        elif not self._is_upgrade:
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on to the next request: to one that has arrived already, or wait for it."""
        self._shared.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        else:
            self._head_since = self.loop.time()

    def pause_writing(self) -> None:
        """Begin to watch a client that does not keep up with its answer."""
        self._reading = Reading(self._limits, self.transport, self.loop.time())
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on: the client has read most of what was written."""
        self._reading = None
        super().resume_writing()

    def check(self, now: float) -> None:
        """End whatever has taken too long by `now`, a time of the event loop; called all along."""
        limits = self._limits
        if self._reading is not None:
            if self._reading.is_too_slow(now):
                self._shared.aborted += 1
                self.transport.abort()
        elif self.transport.is_closing():  # once the client has read the rest
            self._reading = Reading(limits, self.transport, now)
        elif self._head_since is not None:
            waited = now - self._head_since
            if waited > limits.head_seconds:
                self._refuse(RequestTimeout(f"the head of a request must arrive within {limits.head_seconds:g} s"))
            elif waited > limits.keep_alive_seconds and self._is_used and not (self._in_message or self._held):
                self.transport.close()
        elif self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete:
            self._check_body(self.cycle, now)

    def _check_body(self, cycle: RequestResponseCycle, now: float) -> None:
        # The client waits for us, or sends events when there are some, within limits of its own.
        if self.flow.read_paused or cycle.waiting_for_100_continue or is_live_stream(cycle.scope):
            self._body.begin(now)
        elif self._body.is_too_slow(now) and not end_early(cycle.scope, "slow_body"):
            self._refuse(RequestTimeout("the body of the request arrives too slowly"))

    def _note_header(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            if self._host is not None:
                self._fault = BadRequest("the request has more than one Host header")
            elif not _is_host(value):
                self._fault = BadRequest("the Host header is not a host")
            self._host = value
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                self._fault = UnsupportedTransferCoding("the only Transfer-Encoding that is read here is 'chunked'")
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif _REQUEST_ID.fullmatch(value):
            self._request_id = value

    def _take_host_of_url(self) -> None:
        """Put the host of a URL in absolute form in the place of the Host header, as RFC 9112 demands."""
        url = httptools.parse_url(self.url)
        if url.host:
            host = url.host if url.port is None else b"%b:%d" % (url.host, url.port)
            self.headers[:] = [(name, host if name == b"host" else value) for name, value in self.headers]

    def _is_for_websocket(self) -> bool:
        return self._should_upgrade() and self.parser.get_method() == b"GET" and self._is_idle()

    def _open_websocket(self, rest: bytes) -> None:
        """Hand the connection over, with the head and what has come after it."""
        gate = self._shared.gate
        if gate is not None and (response := gate.refusal(b"GET", self.url)) is not None:
            self.transport.write(response.render(self._shared.default_headers, request_id=self._request_id))
            self.transport.close()
            return
        self.connections.discard(self)
        assert self.ws_protocol_class is not None
        protocol: Any = self.ws_protocol_class(
            config=self.config,  # type: ignore[call-arg]
            server_state=self._shared,
            app_state=self.app_state,
        )
        protocol.peer = self.peer
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        lines = [b"GET %b HTTP/1.1" % self.url, *(b"%b: %b" % header for header in self.headers)]
        protocol.data_received(b"\r\n".join([*lines, b"", rest]))

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Read the request anew without its header Upgrade: the parser has left the body and what follows to others."""
        start = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        lines = [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self._is_upgrade = False
        self._held = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join([start, *lines, b"", rest]))

    def _is_idle(self) -> bool:
        return not self.expect_100_continue and (self.cycle is None or self.cycle.response_complete)

    def _skip(self, response: RawResponse, *, keep_alive: bool) -> None:
        """Answer a request at its head. Its body is not kept, and has the time of the next head."""
        self._skips_body = True
        self._head_since = self.loop.time()
        headers = self._shared.default_headers
        self.transport.write(response.render(headers, request_id=self._request_id, close=not keep_alive))
        if not keep_alive:
            self.transport.close()

    def _refuse(self, error: ServiceError) -> None:
        """Answer and close, after the answers to the requests that have arrived."""
        latest: Any = self.cycle if self.cycle is not None and not self.cycle.response_complete else None
        if latest is not None and not latest.more_body:
            latest.keep_alive = False
            self.flow.pause_reading()
            return
        if latest is None or not (latest.response_started or self.pipeline):
            self.transport.write(RawResponse(error).render(self._shared.default_headers))
        self.transport.close()


@lru_cache(maxsize=256)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None
