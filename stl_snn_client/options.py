"""Where the service is and how it is asked: what both clients make of their arguments."""

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from stl_snn_client.call import Call

DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 120.0
"""How long an answer may take if no timeout is given; the service has limits of its own."""
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=4.0)
"""An idle connection is not used again shortly before the service closes it, after 5 seconds."""
MARGIN_SECONDS = 5.0  # for the service's answer that the time is over


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of a client. The API key is read from `SNN_API_KEY` if none is given."""

    url: str
    api_key: str | None
    timeout: float | None
    retries: int

    @classmethod
    def of(cls, url: str, api_key: str | None, timeout: float | None, retries: int) -> "Options":
        """The arguments, checked."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"the URL {url!r} must begin with http:// or https://")
        return cls(url.rstrip("/"), api_key or os.environ.get("SNN_API_KEY") or None, timeout, retries)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    def request(self, call: Call[Any], body: dict[str, Any]) -> dict[str, Any]:
        """The arguments of httpx's `build_request`."""
        seconds = call.timeout if call.timeout is not None else self.timeout
        asked = {} if seconds is None else {"X-Request-Timeout-Ms": str(max(1, round(seconds * 1000)))}
        answer = ANSWER_SECONDS if seconds is None else seconds + MARGIN_SECONDS
        return {
            "method": call.method,
            "url": self.url + call.path,
            "params": dict(call.params),
            "headers": self.headers | asked | dict(call.headers),
            "timeout": httpx.Timeout(answer, connect=CONNECT_SECONDS),
        } | body

    def socket_url(self, path: str, params: dict[str, str]) -> str:
        """The address of a WebSocket."""
        return f"ws{self.url.removeprefix('http')}{path}?{urlencode(params)}"
