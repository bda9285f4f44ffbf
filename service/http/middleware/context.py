"""The context of every request: its id, its log line and its metrics.

Pure ASGI, so that a disconnected client is noticed and bodies stream through.
"""

import logging
import re
import time
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.errors import ServiceError
from service.http.failures import error_response
from service.http.middleware.refusal import refuse_unguarded
from service.runtime import Runtime
from service.telemetry.logs import new_id, request_id

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CLIENT_LEFT = 499
_LOGGED_PATH = 200
_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")

log = logging.getLogger(__name__)


class RequestContext:
    """Gives each request an id, answers uncaught errors, and then logs and counts the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await refuse_unguarded(scope, receive, send)
            return
        started = time.perf_counter()
        sent = Headers(scope=scope).get("x-request-id", "")
        identity = sent if _REQUEST_ID.fullmatch(sent) else new_id()
        token = request_id.set(identity)
        status = 0
        runtime: Runtime | None = getattr(scope["app"].state, "runtime", None)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = identity
                if runtime is not None and runtime.readiness.shutting_down:
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
            answer = error_response(
                ServiceError(f"the service failed on this request; its log has the details under {identity}")
            )
            await answer(scope, receive, send_with_id)
        finally:
            self._record(runtime, scope, status, time.perf_counter() - started)
            request_id.reset(token)

    def _record(self, runtime: Runtime | None, scope: Scope, status: int, seconds: float) -> None:
        log.info("%s %s %d %.1f ms", scope["method"], quote(scope["path"][:_LOGGED_PATH]), status, seconds * 1000)
        if runtime is not None:
            route = getattr(scope.get("route"), "path", scope.get("state", {}).get("route", "other"))
            method = scope["method"] if scope["method"] in _METHODS else "other"
            name = scope.get("path_params", {}).get("name")
            model = name if name in runtime.registry else ""  # callers must not invent label values
            runtime.metrics.request(route, method, model, status, seconds)
