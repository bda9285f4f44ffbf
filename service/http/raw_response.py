"""Failures as the bytes of an HTTP/1.1 response, for answers that are given before the application sees the request."""

import itertools
import uuid
from collections.abc import Sequence
from http import HTTPStatus

from contract.errors import ServiceError
from service.http.failures import error_response

Header = tuple[bytes, bytes]

_process = uuid.uuid4().hex[:16].encode()
_numbers = itertools.count(1)


class RawResponse:
    """The response to one failure, rendered once and sent many times."""

    def __init__(self, error: ServiceError, *, path: str = "") -> None:
        response = error_response(error, path=path)
        status = HTTPStatus(response.status_code)
        headers = [(name, value) for name, value in response.raw_headers if name != b"connection"]
        self._status_and_headers = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() + _lines(headers)
        self._body = b"\r\n" + bytes(response.body)
        self._headers: Sequence[Header] = ()
        self._start = self._status_and_headers

    def render(self, headers: Sequence[Header] = (), *, request_id: bytes = b"", close: bool = True) -> bytes:
        """Return the whole response with further `headers`; without a `request_id` it gets a new one."""
        if headers is not self._headers:  # the server's own headers are the same list for a second
            self._headers = headers
            self._start = self._status_and_headers + _lines(headers)
        identity = request_id or b"%b%016x" % (_process, next(_numbers))
        connection = b"connection: close\r\n" if close else b""
        return b"%bx-request-id: %b\r\n%b%b" % (self._start, identity, connection, self._body)


def _lines(headers: Sequence[Header]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
