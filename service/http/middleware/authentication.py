"""API keys: who may call."""

import hashlib
import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.errors import Unauthorized
from service.http.middleware.refusal import refuse, refuse_unguarded


class Authentication:
    """Guards HTTP requests and WebSockets: each needs one of the keys, except requests for `/health/`.

    Without keys the service is open.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._digests = [_digest(key.encode()) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection on, or refuse it."""
        match scope["type"]:
            case "lifespan":
                await self._app(scope, receive, send)
            case "http" | "websocket":
                if not self._digests or scope["path"].startswith("/health/") or self._has_key(scope):
                    await self._app(scope, receive, send)
                else:
                    error = Unauthorized("missing or invalid API key; send 'Authorization: Bearer KEY'")
                    await refuse(error, scope, receive, send)
            case _:
                await refuse_unguarded(scope, receive, send)

    def _has_key(self, scope: Scope) -> bool:
        """Compare with every key, in a time that does not depend on which one matches or how much of it."""
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        digest = _digest(key.strip().encode("latin-1"))
        matches = False
        for known in self._digests:
            matches |= hmac.compare_digest(digest, known)
        return matches and scheme.lower() == "bearer"


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
