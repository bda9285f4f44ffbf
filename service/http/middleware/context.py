"""What wraps every request: its id, its log line and metrics, its key, and the limit of its body.

Plain ASGI, so that a client that leaves is noticed and bodies stream through.
"""

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Sequence
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.errors import ServiceError, TooLarge, Unauthorized
from service.http.failures import error_response
from service.runtime import Runtime
from service.telemetry.logs import new_id, request_id

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CLIENT_LEFT = 499
_LOGGED_PATH = 200
_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")

log = logging.getLogger(__name__)


class RequestContext:
    """Gives each request an id, answers what nobody caught, and then logs and counts the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        identity = given if _SANE_ID.fullmatch(given) else new_id()
        token = request_id.set(identity)
        status = 0
        runtime: Runtime | None = getattr(scope["app"].state, "runtime", None)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = identity
                if runtime is not None and runtime.readiness.leaving:
                    headers["Connection"] = "close"  # the client's next request goes elsewhere
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = _CLIENT_LEFT
        except Exception:
            log.exception("%s %s failed", scope["method"], quote(scope["path"][:_LOGGED_PATH]))
            if status:
                raise
            answer = error_response(ServiceError(f"the service failed on this request; its log has {identity}"))
            await answer(scope, receive, send_with_id)
        finally:
            self._record(runtime, scope, status, time.perf_counter() - started)
            request_id.reset(token)

    def _record(self, runtime: Runtime | None, scope: Scope, status: int, seconds: float) -> None:
        log.info("%s %s %d %.1f ms", scope["method"], quote(scope["path"][:_LOGGED_PATH]), status, seconds * 1000)
        if runtime is not None:
            state = scope.get("state", {})
            route = getattr(scope.get("route"), "path", state.get("route", "other"))
            method = scope["method"] if scope["method"] in _METHODS else "other"
            runtime.metrics.request(route, method, state.get("model", ""), status, seconds)


class Authentication:
    """Lets a request pass that carries one of the keys, or that is about the service's health."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._digests = [_digest(key.encode()) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http" and self._digests and not scope["path"].startswith("/health/"):
            scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not self._holds(key.strip().encode("latin-1")):
                error = Unauthorized("this service wants a key: send 'Authorization: Bearer KEY'")
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _holds(self, key: bytes) -> bool:
        """Compare with every key, in a time that does not depend on which one fits or how much of it."""
        digest = _digest(key)
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        return found


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def is_upload(scope: Scope) -> bool:
    """Whether the body is a data set, which may be large and take its time."""
    return (scope["type"], scope.get("method"), scope.get("path")) == ("http", "POST", "/v1/files")


class BodyLimit:
    """Refuses a body of more than `max_bytes`, or `max_upload_bytes` where it is a data set.

    At once where its length is announced, else when it gets there.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_upload_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._max_upload_bytes if is_upload(scope) else self._max_bytes
        announced = Headers(scope=scope).get("content-length", "")
        error = TooLarge(f"the body is larger than the {max_bytes} bytes that are taken")
        if announced.isdecimal() and int(announced) > max_bytes:
            await error_response(error)(scope, receive, send)
            return
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise error
            return message

        await self._app(scope, receive_bounded, send)
