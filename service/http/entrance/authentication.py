"""API keys: who may call."""

import hashlib
import hmac
from collections.abc import Sequence

from contract.errors import ServiceError, Unauthorized
from service.http.entrance.passage import Headers


class Authentication:
    """Each request and WebSocket needs one of the keys, except those for `/health/`.

    Without keys the service is open.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def refusal(self, path: str, headers: Headers) -> ServiceError | None:
        """`Unauthorized` for a request without a right key."""
        if not self._digests or path.startswith("/health/") or self._has_key(headers):
            return None
        return Unauthorized("missing or invalid API key; send 'Authorization: Bearer KEY'")

    def _has_key(self, headers: Headers) -> bool:
        """Compare with every key, in a time that does not depend on which one matches or how much of it."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        digest = _digest(key.strip().encode("latin-1"))
        matches = False
        for known in self._digests:
            matches |= hmac.compare_digest(digest, known)
        return matches and scheme.lower() == "bearer"


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
