"""`Passage`: one request on its way through the service, and what its messages are subject to."""

import re
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from contract.errors import ServiceError, TooLarge
from service.http.failures import error_response
from service.inference.admission import SMALL_BODY, Ticket
from service.runtime import Runtime
from service.telemetry.logs import new_id

Headers = Mapping[str, str]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"00-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def headers_of(scope: Scope) -> Headers:
    """The headers of a request by their names in small letters; of repeated ones the first counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}


def identity_of(headers: Headers) -> str:
    """The id of a request: the caller's if it is a sane one, else a new one."""
    sent = headers.get("x-request-id", "")
    return sent if _REQUEST_ID.fullmatch(sent) else new_id()


def trace_of(headers: Headers) -> str:
    """The trace id of a W3C `traceparent`; empty without a valid one."""
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return found["trace"] if found else ""


class Passage:
    """One HTTP request: its `identity`, and its `status` once the response has begun, 0 before.

    Its route receives and sends through it. The body has at most `max_bytes`; with a `ticket`, its memory and its time
    are bounded too, except those of a live stream. An upload has `stall` seconds for each piece of its body instead,
    and its bytes go to disk.
    """

    max_bytes = 0
    ticket: Ticket | None = None
    stall: float | None = None
    is_live = False
    status = 0
    is_complete = False

    def __init__(self, scope: Scope, headers: Headers, receive: Receive, send: Send, runtime: Runtime | None) -> None:
        self.identity = identity_of(headers)
        self.scope = scope
        self.headers = headers
        self._receive = receive
        self._send = send
        self._runtime = runtime
        self._received = 0
        self._is_read = False

    async def receive(self) -> Message:
        """Receive the next piece of the body: `TooLarge`, `Overloaded`, or, after the body, that the client left."""
        ticket, stall = self.ticket, self.stall
        if ticket is None or self._is_read or self.is_live:
            return self._bounded(await self._receive())
        ticket.enter("body")
        if stall is not None:
            ticket.allow(stall)
        message = self._bounded(await self._receive())
        if stall is not None:
            ticket.allow(None)
        size = ticket.held + len(message.get("body", b""))
        self._is_read = message["type"] == "http.request" and not message.get("more_body", False)
        if self._is_read:
            ticket.enter("decode")
        ticket.hold(size if stall is None else min(size, SMALL_BODY))
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the response, which carries the request's id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self.identity.encode())]
            if self._runtime is not None and self._runtime.readiness.shutting_down:
                # the client's next request goes elsewhere
                headers = [header for header in headers if header[0] != b"connection"] + [(b"connection", b"close")]
            message = {**message, "headers": headers}
        elif not message.get("more_body", False):
            self.is_complete = True
        if self.ticket is not None:
            self.ticket.answering()
        await self._send(message)

    async def answer(self, response: Response) -> None:
        """Send a whole response."""
        await response(self.scope, self._receive, self.send)

    async def fail(self, error: ServiceError) -> None:
        """Send the response to a failed request."""
        await self.answer(error_response(error, path=self.scope["path"]))

    def _bounded(self, message: Message) -> Message:
        self._received += len(message.get("body", b""))
        if self._received > self.max_bytes:
            raise TooLarge(f"the body exceeds the limit of {self.max_bytes} bytes")
        return message
