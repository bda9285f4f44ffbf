"""When a request is sent again, and after how long. No clock and no socket: both clients ask the same object."""

import random
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Final

import httpx

from stl_snn_client.call import Call
from stl_snn_client.errors import ConnectionFailed, ConnectionTimeout, ServiceUnreachable, error_of_response

FIRST_WAIT_SECONDS: Final = 0.25
LONGEST_WAIT_SECONDS: Final = 30.0
"""A `Retry-After` beyond this is not waited for: the error is raised."""
_REFUSED: Final = 429  # nothing was done, so that every request can be sent again
_UNAVAILABLE: Final = (502, 503)
_HOPELESS: Final = "model_failed_to_load"


class Attempts:
    """The attempts at one call, of which `retries` follow the first."""

    def __init__(self, call: Call[Any], retries: int) -> None:
        self._call = call
        self._retries = retries
        self._failed = 0

    def wait_after(self, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """Seconds until the next attempt, None if this one succeeded.

        Raises the error of an attempt after which there is no other: an `ApiError`, or `ConnectionFailed`.
        """
        if isinstance(outcome, httpx.Response):
            if outcome.is_success:
                return None
            error = error_of_response(outcome.status_code, outcome.content, outcome.headers)
            again = outcome.status_code == _REFUSED or (outcome.status_code in _UNAVAILABLE and self._call.repeatable)
            wait = self._next_wait(_seconds(outcome.headers.get("retry-after")))
            if again and error.code != _HOPELESS and wait is not None:
                return wait
            raise error
        wait = self._next_wait(None)
        if wait is not None and (
            self._call.repeatable or isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout)
        ):
            return wait
        raise failure_of(outcome) from outcome

    def begin_again(self) -> None:
        """Forget the failures: something was received."""
        self._failed = 0

    def _next_wait(self, asked: float | None) -> float | None:
        """Seconds until the next attempt, at least those that the service asks for; None if there is none."""
        self._failed += 1
        if self._failed > self._retries or (asked or 0) > LONGEST_WAIT_SECONDS:
            return None
        backoff: float = min(FIRST_WAIT_SECONDS * 2 ** (self._failed - 1), LONGEST_WAIT_SECONDS)
        return max(asked or 0, backoff) * random.uniform(1, 1.25)


def failure_of(error: httpx.TransportError) -> ConnectionFailed:
    """The exception of a request that was not answered."""
    kind: type[ConnectionFailed] = ConnectionFailed
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        kind = ServiceUnreachable
    elif isinstance(error, httpx.TimeoutException):
        kind = ConnectionTimeout
    return kind(f"the service did not answer: {error or type(error).__name__}")


def _seconds(header: str | None) -> float | None:
    """What a `Retry-After` says: seconds, or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header) if header.isdecimal() else parsedate_to_datetime(header).timestamp() - time())
    except (ValueError, TypeError):
        return None
