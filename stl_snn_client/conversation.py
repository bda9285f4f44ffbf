"""What a stream says: its messages as decisions, totals and errors. No socket: both streams read by it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stl_snn_client.answers import Decision, Ready, StreamTotals
from stl_snn_client.call import Query, path, query
from stl_snn_client.errors import STATUS_OF_CODE, ApiError, ConnectionFailed, SnnError, error_of_code
from stl_snn_client.event_bytes import messages_of
from stl_snn_client.options import CONNECT_SECONDS, Options

UNREAD_MESSAGES: Final = 4096
"""How many decisions may wait to be read; beyond it the service is no longer read, and closes the stream."""
CLOSE_SECONDS: Final = 10.0

_CODE_OF_CLOSE = {
    1003: "bad_request",
    1008: "bad_request",
    1009: "body_too_large",
    1011: "internal_error",
    1012: "shutting_down",
    1013: "overloaded",
}


class Conversation:
    """The state of one stream. `ready` and `totals` are the first and the last message, None until they come."""

    def __init__(self, options: Options, model: str, format: str, parameters: Mapping[str, Query]) -> None:
        self.format = format
        self.ready: Ready | None = None
        self.totals: StreamTotals | None = None
        self.error: ApiError | None = None
        self.has_asked_to_close = False
        self._options = options
        self._path = path("/v1/models/{}/stream", model)
        self._params = query(format=format, **parameters)

    @property
    def url(self) -> str:
        """The address of the stream, with its query."""
        return self._options.socket_url(self._path, self._params)

    @property
    def opening(self) -> dict[str, Any]:
        """The other arguments of `connect`."""
        return {
            "additional_headers": self._options.headers,
            "compression": None,
            "open_timeout": CONNECT_SECONDS,
            "close_timeout": CLOSE_SECONDS,
            "max_queue": UNREAD_MESSAGES,
        }

    def take(self, message: str | bytes) -> Decision | None:
        """A decision, None for other messages, which are kept."""
        found: Any = json.loads(message)
        match found["type"]:
            case "decision":
                decision: Decision = found
                return decision
            case "ready":
                self.ready = found
            case "closed":
                self.totals = found
            case "error":
                self.error = error_of_code(found["error"])
        return None

    def events(self, events: Any) -> Iterator[bytes | str]:
        """Events as messages."""
        self._check_open()
        return messages_of(events, self.format)

    def command(self, type: str) -> str:
        """A command as a message."""
        self._check_open()
        self.has_asked_to_close = type == "close"
        return json.dumps({"type": type})

    def check_end(self, close_code: int | None, reason: str | None) -> None:
        """Raise the error that ended the stream, if it did not end as asked."""
        if self.error is not None:
            self.error.close_code = close_code
            raise self.error
        if self.totals is None:
            raise _error_of_close(close_code, reason or "")

    def _check_open(self) -> None:
        if self.has_asked_to_close or self.totals is not None:
            raise ValueError("the stream is closed")


def _error_of_close(close_code: int | None, reason: str) -> SnnError:
    """The error of a stream that ended without its last message; the reason is mostly the code of an error."""
    code = reason if reason in STATUS_OF_CODE else _CODE_OF_CLOSE.get(close_code or 0)
    if code is None:
        return ConnectionFailed(f"the stream ended without its last message (close code {close_code})")
    error = {"code": code, "message": f"the service closed the stream with code {close_code} {reason}".rstrip()}
    return error_of_code(error, close_code=close_code)
