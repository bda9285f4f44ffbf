"""API keys: who may call."""

import hashlib
import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.errors import Unauthorized
from service.http.failures import error_response


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
