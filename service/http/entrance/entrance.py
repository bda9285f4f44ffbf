"""`Entrance`: what every request passes first, in one pass, whichever route answers it.

In this order: its id; host and origin; API key; the announced length of its body; admission; then its route. A direct
route and a WebSocket's are called from here, all others by way of FastAPI. At the end the request is logged and
counted.
"""

import logging
import time
from collections.abc import Sequence
from urllib.parse import quote

from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.errors import ServiceError
from service.http.connections import client_of
from service.http.direct_route import DirectRoute
from service.http.entrance.admission import needs_ticket, ticket_for
from service.http.entrance.authentication import Authentication
from service.http.entrance.body_limit import BodyLimit, is_live_stream
from service.http.entrance.origin import OriginCheck
from service.http.entrance.passage import Headers, Passage, headers_of, identity_of, trace_of
from service.http.entrance.refusal import refuse_other
from service.http.failures import uncaught
from service.http.socket_route import SocketRoute
from service.inference.admission import ClientLeft
from service.runtime import Runtime
from service.telemetry.logs import request_id, trace_id

_CLIENT_LEFT = 499
_LOGGED_PATH = 200
_SOCKET = "WEBSOCKET"
_METHODS = (_SOCKET, "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")

log = logging.getLogger(__name__)


class Entrance:
    """Stands before `inner`, the ASGI application of `app`, and calls the `direct` routes itself."""

    def __init__(
        self,
        app: FastAPI,
        inner: ASGIApp,
        direct: Sequence[DirectRoute],
        *,
        origin: OriginCheck | None,
        authentication: Authentication,
        body_limit: BodyLimit,
        sockets: Sequence[SocketRoute] = (),
    ) -> None:
        self._app = app
        self._inner = inner
        self._direct = direct
        self._origin = origin
        self._authentication = authentication
        self._body_limit = body_limit
        self._sockets = sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        headers = headers_of(scope)
        if scope["type"] != "http":
            await self._open_socket(scope, headers, receive, send)
            return
        started = time.perf_counter()
        scope["app"] = self._app
        scope.setdefault("state", {})
        runtime: Runtime | None = getattr(self._app.state, "runtime", None)
        passage = Passage(scope, headers, receive, send, runtime)
        token, trace = request_id.set(passage.identity), trace_id.set(trace_of(headers))
        if runtime is not None:
            runtime.metrics.begin()
        try:
            await self._pass(passage)
        except ClientDisconnect:
            passage.status = _CLIENT_LEFT
        except Exception:
            log.exception("%s %s failed", scope["method"], quote(scope["path"][:_LOGGED_PATH]))
            if not passage.status:
                await passage.fail(uncaught())
            elif not passage.is_complete:
                raise
        finally:
            _record(scope, scope["method"], passage.status, runtime, time.perf_counter() - started)
            if runtime is not None:
                runtime.metrics.end()
            request_id.reset(token)
            trace_id.reset(trace)

    async def _pass(self, passage: Passage) -> None:
        """Check what is known by the head, then let the route answer within the request's limits."""
        scope, headers = passage.scope, passage.headers
        passage.max_bytes = self._body_limit.of(scope)
        error = self._refusal(scope, headers) or self._body_limit.refusal(headers, passage.max_bytes)
        if error is not None:
            await passage.fail(error)
        elif needs_ticket(scope["path"]):
            await self._pass_with_ticket(passage)
        else:
            await self._inner(scope, passage.receive, passage.send)

    async def _pass_with_ticket(self, passage: Passage) -> None:
        runtime: Runtime = self._app.state.runtime
        scope = passage.scope
        direct = next((route for route in self._direct if route.is_for(scope)), None)
        if direct is not None:
            scope["route"] = direct
        if is_live_stream(scope):
            scope["state"]["caller"] = self._caller(scope, passage.headers)
        try:
            with ticket_for(passage, runtime, runs_a_network=direct is not None) as ticket:
                passage.ticket = scope["state"]["ticket"] = ticket
                try:
                    await (direct.handle if direct else self._inner)(scope, passage.receive, passage.send)
                except ClientDisconnect:
                    runtime.predictor.admission.dropped(ticket, "client_left")
                    raise
        except ClientLeft:
            raise ClientDisconnect from None
        except ServiceError as error:
            if passage.ticket is not None and passage.ticket.is_answering:
                raise ClientDisconnect from error  # a response that has begun can only be cut off
            await passage.fail(error)

    async def _open_socket(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """Serve one WebSocket by its route, or refuse it before it opens."""
        started = time.perf_counter()
        identity = identity_of(headers)
        token, trace = request_id.set(identity), trace_id.set(trace_of(headers))
        error = self._refusal(scope, headers)
        route = next((each for each in self._sockets if error is None and each.is_for(scope)), None)
        try:
            if route is None:
                await refuse_other(error, identity, scope, receive, send)
                return
            scope["app"] = self._app
            scope.setdefault("state", {}).update(caller=self._caller(scope, headers), identity=identity)
            runtime: Runtime = self._app.state.runtime
            runtime.metrics.begin()
            try:
                status = await route.handle(scope, receive, send)
            finally:
                runtime.metrics.end()
            _record(scope, _SOCKET, status, runtime, time.perf_counter() - started)
        finally:
            request_id.reset(token)
            trace_id.reset(trace)

    def _caller(self, scope: Scope, headers: Headers) -> str:
        """Who calls, to divide places among callers: one of the keys, or else a client's address."""
        key = self._authentication.key_of(headers)
        if key is not None:
            return f"key {key}"
        return client_of(scope["client"][0]) if scope.get("client") else ""

    def _refusal(self, scope: Scope, headers: Headers) -> ServiceError | None:
        """What is wrong with where the request comes from, or with its key."""
        error = self._origin.refusal(headers) if self._origin else None
        return error or self._authentication.refusal(scope["path"], headers)


def _record(scope: Scope, method: str, status: int, runtime: Runtime | None, seconds: float) -> None:
    """Log and count a request that is over."""
    is_probe = scope["path"].startswith("/health/") and status < 500
    level = logging.DEBUG if is_probe else logging.INFO
    log.log(level, "%s %s %d %.1f ms", method, quote(scope["path"][:_LOGGED_PATH]), status, seconds * 1000)
    if runtime is not None:
        route = getattr(scope.get("route"), "path", "other")
        method = method if method in _METHODS else "other"
        name = scope.get("path_params", {}).get("name")
        model = name if name in runtime.registry else ""  # callers must not invent label values
        runtime.metrics.request(route, method, model, status, seconds)
