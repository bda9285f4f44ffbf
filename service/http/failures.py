"""Errors as HTTP responses: a status for each code, and one body for all."""

from collections.abc import Mapping

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from contract.errors import (
    BadRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    RequestTimeout,
    ServiceError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from service.parsing import explain
from service.telemetry.logs import request_id

HTTP_STATUS = {
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


# The close code of a WebSocket whose stream ends because of an error; 1008 for all others.
_CLOSE_CODES = {
    "bad_request": 1003,
    "invalid_json": 1003,
    "invalid_parameter": 1003,
    "invalid_events": 1003,
    "internal_error": 1011,
    "model_error": 1011,
    "shutting_down": 1012,
    "overloaded": 1013,
    "not_ready": 1013,
    "model_failed_to_load": 1013,
}
_POLICY_VIOLATION = 1008


def close_code(error: ServiceError) -> int:
    """The code with which a WebSocket is closed for this error."""
    return _CLOSE_CODES.get(error.code, _POLICY_VIOLATION)


class ErrorDetail(BaseModel):
    """What went wrong: a stable code, a sentence, and the parameter or input at fault."""

    code: str
    message: str
    param: str | None


class ErrorBody(BaseModel):
    """The body of every failure."""

    error: ErrorDetail


class OpenInferenceError(BaseModel):
    """The body of every failure under `/v2`, as the Open Inference Protocol has it."""

    error: str


RETRY_AFTER_S = 1

# Messages quote what the caller sent, up to a length.
LONGEST_MESSAGE = 1000
LONGEST_PARAM = 100

_BY_STATUS: dict[int, type[ServiceError]] = {
    400: BadRequest,
    404: NotFound,
    405: MethodNotAllowed,
    413: TooLarge,
    415: UnsupportedMediaType,
}


def error_response(error: ServiceError, headers: Mapping[str, str] | None = None, *, path: str = "") -> Response:
    """The response to a failed request; under the `path` `/v2` in the shape of the Open Inference Protocol."""
    body = _open_inference_body(error) if is_open_inference(path) else _body(error)
    status = HTTP_STATUS.get(error.code, 500)
    own = {}
    if 400 <= status < 500 and status != 429:
        own["x-should-retry"] = "false"  # for OpenAI's client, which would retry some of these
    if isinstance(error, Overloaded | Unavailable):
        own["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, Unauthorized):
        own["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RequestTimeout):
        own["Connection"] = "close"  # the rest of the request may still arrive
    return Response(
        body.model_dump_json(),
        status,
        headers={**(headers or {}), **own},
        media_type="application/json",
    )


def is_open_inference(path: str) -> bool:
    """Whether the path is one of the Open Inference Protocol."""
    return path == "/v2" or path.startswith("/v2/")


def _body(error: ServiceError) -> ErrorBody:
    param = None if error.param is None else _cut(error.param, LONGEST_PARAM)
    return ErrorBody(error=ErrorDetail(code=error.code, message=_cut(error.message, LONGEST_MESSAGE), param=param))


def _open_inference_body(error: ServiceError) -> OpenInferenceError:
    """The message, which begins with the parameter or input at fault unless it names it."""
    param, message = error.param, error.message
    is_named = param is None or param in message
    return OpenInferenceError(error=_cut(message if is_named else f"{param}: {message}", LONGEST_MESSAGE))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}..."


def uncaught() -> ServiceError:
    """The error that a caller sees of any exception that the service does not expect; the log has its details."""
    return ServiceError(f"the service failed on this request; its log has the details under {request_id.get()}")


async def answer_exception(request: Request, error: Exception) -> Response:
    """Exception handler of every other exception, which FastAPI passes on afterwards."""
    return error_response(uncaught(), path=request.url.path)


async def answer_service_error(request: Request, error: Exception) -> Response:
    """Exception handler of `ServiceError`."""
    assert isinstance(error, ServiceError)
    return error_response(error, path=request.url.path)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Exception handler of errors that the framework raises: no such route, method not allowed."""
    assert isinstance(error, HTTPException)
    kind = _BY_STATUS.get(error.status_code, BadRequest if error.status_code < 500 else ServiceError)
    messages = {
        404: "there is no such route; GET /openapi.json lists them",
        405: f"this route does not support {request.method}",
    }
    return error_response(
        kind(messages.get(error.status_code, str(error.detail))), error.headers, path=request.url.path
    )


async def answer_validation_error(request: Request, error: Exception) -> Response:
    """Exception handler of parameters that FastAPI could not validate."""
    assert isinstance(error, RequestValidationError)
    return error_response(explain(error.errors()), path=request.url.path)
