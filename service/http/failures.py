"""Every failure -> the one error body."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from contract.errors import (
    HTTP_STATUS,
    BadRequest,
    InvalidParameter,
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
from service.inference.bodies import ErrorBody, ErrorDetail

RETRY_AFTER_S = 1

# What a caller sent is quoted to it, but not at any length.
LONGEST_MESSAGE = 1000
LONGEST_PARAM = 100

_BY_STATUS: dict[int, type[ServiceError]] = {
    400: BadRequest,
    404: NotFound,
    405: MethodNotAllowed,
    413: TooLarge,
    415: UnsupportedMediaType,
}


def error_response(error: ServiceError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a failed request."""
    param = None if error.param is None else _cut(error.param, LONGEST_PARAM)
    body = ErrorBody(error=ErrorDetail(code=error.code, message=_cut(error.message, LONGEST_MESSAGE), param=param))
    status = HTTP_STATUS.get(error.code, 500)
    own = {}
    if 400 <= status < 500 and status != 429:
        own["x-should-retry"] = "false"  # for OpenAI's client, which would try some of these again
    if isinstance(error, Overloaded | Unavailable):
        own["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, Unauthorized):
        own["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RequestTimeout):
        own["Connection"] = "close"  # the rest of the request may still come
    return Response(
        body.model_dump_json(),
        status,
        headers={**(headers or {}), **own},
        media_type="application/json",
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}..."


async def answer_service_error(request: Request, error: Exception) -> Response:
    """Exception handler of `ServiceError`."""
    assert isinstance(error, ServiceError)
    return error_response(error)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Exception handler of what the framework raises by status: no such route, no such method."""
    assert isinstance(error, HTTPException)
    kind = _BY_STATUS.get(error.status_code, BadRequest if error.status_code < 500 else ServiceError)
    messages = {
        404: "there is no such route; GET /openapi.json lists them",
        405: f"this route does not take {request.method}",
    }
    return error_response(kind(messages.get(error.status_code, str(error.detail))), error.headers)


async def answer_validation_error(request: Request, error: Exception) -> Response:
    """Exception handler of parameters that do not fit their types."""
    assert isinstance(error, RequestValidationError)
    return error_response(explain(error.errors()))


def explain(problems: Sequence[Any]) -> InvalidParameter:
    """The first of pydantic's problems, as an error that names the parameter (`top_k`, `inputs[2]`).

    What lies inside an input is named in the message: `param` is the input as a whole.
    """
    first = problems[0]
    where = [part for part in first["loc"] if part not in ("query", "path", "header", "body")]
    param = str(where[0]) if where else None
    if len(where) > 1 and isinstance(where[1], int):
        param = f"{param}[{where[1]}]"
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] in ("model_type", "model_attributes_type"):
        message = "must be a JSON object"
    return InvalidParameter(f"{place}: {message}" if place else message, param=param)


def unknown_name(name: str, known: Iterable[str], what: str) -> InvalidParameter:
    """The error for a name that is not `known`, with the nearest one that is."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    allowed = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}" if known else ""
    return InvalidParameter(f"{name!r} is not {what}{allowed}", param=name)
