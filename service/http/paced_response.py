"""`PacedResponse`: a large body, sent as fast as the client reads it."""

from collections.abc import Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_PIECE = 64 * 1024


class PacedResponse(Response):
    """Sends its content in pieces, each once the client has read most of those before, and calls `on_end` at the end.

    A response in one piece would be written at once, and its memory counted by nobody while a slow client reads it.
    """

    def __init__(
        self,
        content: bytes,
        on_end: Callable[[], None],
        *,
        headers: Mapping[str, str] | None = None,
        media_type: str = "application/json",
    ) -> None:
        super().__init__(content, headers=headers, media_type=media_type)
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, len(self.body), _PIECE):
                piece = bytes(self.body[start : start + _PIECE])
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._on_end()
