"""What goes wrong, as exceptions: one class for each HTTP status, with the service's stable code."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

STATUS_OF_CODE = {
    "bad_request": 400,
    "invalid_json": 400,
    "unauthorized": 401,
    "foreign_host": 403,
    "foreign_origin": 403,
    "not_found": 404,
    "model_not_found": 404,
    "version_not_found": 404,
    "file_not_found": 404,
    "job_not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "conflict": 409,
    "version_in_use": 409,
    "version_read_only": 409,
    "default_changed": 409,
    "version_not_ready": 409,
    "job_not_cancellable": 409,
    "job_not_resumable": 409,
    "job_not_deletable": 409,
    "idempotency_conflict": 409,
    "body_too_large": 413,
    "image_too_large": 413,
    "too_many_events": 413,
    "too_many_inputs": 413,
    "answer_too_large": 413,
    "archive_too_large": 413,
    "unsupported_media_type": 415,
    "invalid_parameter": 422,
    "invalid_image": 422,
    "invalid_events": 422,
    "wrong_input_kind": 422,
    "invalid_dataset": 422,
    "overloaded": 429,
    "internal_error": 500,
    "model_error": 500,
    "unsupported_transfer_coding": 501,
    "not_ready": 503,
    "model_failed_to_load": 503,
    "too_many_connections": 503,
    "jobs_unavailable": 503,
    "shutting_down": 503,
    "deadline_exceeded": 504,
    "insufficient_storage": 507,
}
"""The service's codes, and the status of each, by which a stream's errors find their class too."""


class SnnError(Exception):
    """Any error of this package."""


class ConnectionFailed(SnnError):
    """There was no answer: the service could not be reached, or the connection broke."""


class ServiceUnreachable(ConnectionFailed):
    """No connection could be opened: nothing was sent."""


class ConnectionTimeout(ConnectionFailed):
    """There was no answer in time."""


class ApiError(SnnError):
    """An error that the service reported.

    `code` is stable and documented, `message` a sentence, `param` the parameter or input at fault. `status` is the
    HTTP status. `request_id` finds the request in the service's log. `close_code` is that of a stream, else None.
    """

    statuses: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int,
        param: str | None = None,
        request_id: str | None = None,
        close_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.param = param
        self.request_id = request_id
        self.close_code = close_code

    def __str__(self) -> str:
        request = f", request {self.request_id}" if self.request_id else ""
        return f"{self.message} ({self.code}{request})"


class BadRequest(ApiError):
    """The request could not be parsed."""

    statuses = (400, 405, 415, 501)


class Unauthorized(ApiError):
    """The API key is missing or wrong, or the service refuses this host."""

    statuses = (401, 403)


class NotFound(ApiError):
    """There is no such model, version, file, job or route."""

    statuses = (404,)


class Conflict(ApiError):
    """The state of the version or the job does not allow this."""

    statuses = (409,)


class TooLarge(ApiError):
    """The request, its inputs or its answer exceed a limit."""

    statuses = (413,)


class Invalid(ApiError):
    """A parameter or an input is invalid; `param` names it."""

    statuses = (422,)


class Overloaded(ApiError):
    """Too many requests are waiting; the client has tried again in vain."""

    statuses = (429,)


class ServiceFailure(ApiError):
    """The service or the network failed."""

    statuses = (500,)


class Unavailable(ApiError):
    """The service or the model is not ready."""

    statuses = (503,)


class DeadlineExceeded(ApiError):
    """The request was not answered in the time that the service or the caller allows."""

    statuses = (408, 504)


class InsufficientStorage(ApiError):
    """The service has no room for another file or job."""

    statuses = (507,)


_BY_STATUS = {status: kind for kind in ApiError.__subclasses__() for status in kind.statuses}


def error_of_response(status: int, body: bytes, headers: Mapping[str, str]) -> ApiError:
    """The error of a response whose status says that it failed, also of one that a proxy has sent."""
    try:
        error = json.loads(body)["error"]
        code, message, param = str(error["code"]), str(error["message"]), error.get("param")
    except (ValueError, KeyError, TypeError, AttributeError):
        code, message, param = "unknown", f"the response has status {status} and no error that can be read", None
    kind = _BY_STATUS.get(status, ApiError)
    return kind(message, code=code, status=status, param=param, request_id=headers.get("x-request-id"))


def error_of_code(error: Mapping[str, Any], *, close_code: int | None = None) -> ApiError:
    """The error of a stream's message; a code of a newer service makes an `ApiError`."""
    code = str(error["code"])
    status = STATUS_OF_CODE.get(code, 0)
    kind = _BY_STATUS.get(status, ApiError)
    return kind(str(error["message"]), code=code, status=status, param=error.get("param"), close_code=close_code)
