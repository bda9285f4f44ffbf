"""API keys: who may call."""

import hashlib
import hmac
from base64 import urlsafe_b64decode
from collections.abc import Sequence

from contract.errors import ServiceError, Unauthorized
from service.http.entrance.passage import Headers

OPEN_PATHS = ("/health/", "/v2/health/")
KEY_PREFIX = "bearer."
"""Before a key in base64url, as a subprotocol that a browser offers beside `stl-snn`, which the service chooses."""


class Authentication:
    """Each request and WebSocket needs one of the keys, except those for `OPEN_PATHS` and for `open_paths`.

    An open path that ends with a slash is open with everything below it. Without keys the service is open.
    """

    def __init__(self, keys: Sequence[str], open_paths: Sequence[str] = ()) -> None:
        self._digests = [_digest(key.encode()) for key in keys]
        self._open = frozenset(open_paths)
        self._open_below = (*OPEN_PATHS, *(path for path in open_paths if path.endswith("/") and path != "/"))

    def refusal(self, path: str, headers: Headers) -> ServiceError | None:
        """`Unauthorized` for a request without a right key."""
        if not self._digests or self.key_of(headers) is not None:
            return None
        if path in self._open or path.startswith(self._open_below):
            return None
        return Unauthorized("missing or invalid API key; send 'Authorization: Bearer KEY'")

    def key_of(self, headers: Headers) -> int | None:
        """The number of the request's key, None if it has no right one.

        Compares with every key, in a time that does not depend on how much of it matches.
        """
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        key = sent.strip().encode("latin-1") if scheme.lower() == "bearer" else _key_of_browser(headers)
        matches = [hmac.compare_digest(_digest(key), known) for known in self._digests]
        return matches.index(True) if any(matches) else None


def _key_of_browser(headers: Headers) -> bytes:
    """The key of a WebSocket that a browser opens; it can send no header but the subprotocols that it offers."""
    offered = map(str.strip, headers.get("sec-websocket-protocol", "").split(","))
    key = next((each.removeprefix(KEY_PREFIX) for each in offered if each.startswith(KEY_PREFIX)), "")
    try:
        return urlsafe_b64decode(key + "=" * (-len(key) % 4))
    except ValueError:
        return b""


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
