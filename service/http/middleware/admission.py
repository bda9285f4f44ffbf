"""Admission before a request's body is read, and its deadline.

Pure ASGI. Every request under `/v1/` has a deadline until its response begins; those that run a network also count
towards the bounds of `Admission`. An upload has a deadline for each piece of its body instead, and none afterwards.
The server calls `end_early` for a client that disconnects.
"""

import re
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.errors import ServiceError
from contract.settings import Settings
from service.http.connections import client_of
from service.http.failures import error_response
from service.http.middleware.body_limit import is_upload
from service.http.middleware.refusal import refuse_unguarded
from service.inference.admission import SMALL_BODY, ClientLeft, Reason, Ticket
from service.runtime import Runtime

TIMEOUT_HEADER = "X-Request-Timeout-Ms"

PREDICT = "/v1/models/{name}/predict"
_RUNS_A_NETWORK = re.compile(PREDICT.replace("{name}", "[^/]+"))


class AdmissionMiddleware:
    """Gives each request its ticket, at `scope["state"]["ticket"]`, and answers requests that end early."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, refuse it, or end it early."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await refuse_unguarded(scope, receive, send)
            return
        if not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        runtime: Runtime = scope["app"].state.runtime
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        counted = scope["method"] == "POST" and _RUNS_A_NETWORK.fullmatch(scope["path"]) is not None
        stall = _seconds(headers, runtime.settings) if is_upload(scope) else None
        state = scope.setdefault("state", {})
        if counted:  # a request refused here does not reach the router, which sets the route of all others
            state["route"] = PREDICT
        try:
            with runtime.predictor.admission.request(
                seconds=_seconds(headers, runtime.settings) if stall is None else float("inf"),
                announced=int(length) if length.isdecimal() and stall is None else 0,
                places=counted,
                client=client_of(scope["client"][0]) if scope.get("client") else "",
            ) as ticket:
                state["ticket"] = ticket
                await self._serve(ticket, stall, scope, receive, send)
        except ClientLeft:
            raise ClientDisconnect from None
        except ServiceError as error:
            if "ticket" in state and state["ticket"].is_answering:  # a response that has begun can only be cut off
                raise ClientDisconnect from error
            await error_response(error)(scope, receive, send)

    async def _serve(self, ticket: Ticket, stall: float | None, scope: Scope, receive: Receive, send: Send) -> None:
        runtime: Runtime = scope["app"].state.runtime
        is_read = False

        async def receive_in_time() -> Message:
            nonlocal is_read
            if is_read:
                return await receive()  # after the body, the only message is that the client has disconnected
            ticket.enter("body")
            if stall is not None:
                ticket.allow(stall)
            message = await receive()
            if stall is not None:
                ticket.allow(None)
            size = ticket.held + len(message.get("body", b""))
            is_read = message["type"] == "http.request" and not message.get("more_body", False)
            if is_read:
                ticket.enter("decode")
            ticket.hold(size if stall is None else min(size, SMALL_BODY))  # the rest of an upload goes to disk
            return message

        async def send_to_the_end(message: Message) -> None:
            ticket.answering()
            await send(message)

        try:
            await self._app(scope, receive_in_time, send_to_the_end)
        except ClientDisconnect:
            runtime.predictor.admission.dropped(ticket, "client_left")
            raise


def end_early(scope: Mapping[str, Any], reason: Reason) -> bool:
    """End the request of this scope, at whatever stage; False if it has no ticket."""
    ticket: Ticket | None = scope.get("state", {}).get("ticket")
    if ticket is None:
        return False
    ticket.end(reason)
    return True


def _seconds(headers: Headers, settings: Settings) -> float:
    """The request's time; an invalid header is left to the route to refuse."""
    header = headers.get(TIMEOUT_HEADER, "")
    requested = int(header) if header.isascii() and header.isdecimal() and len(header) < 16 else 0
    return min(requested or settings.request_timeout_ms, settings.max_request_timeout_ms) / 1000
