"""Responses of routes, and how `openapi.json` describes their failures."""

from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from contract import errors
from contract.errors import InvalidParameter, ServiceError, Unauthorized
from service.http.failures import HTTP_STATUS, ErrorBody

OF_INFERENCE: tuple[type[ServiceError], ...] = (
    errors.BadRequest,
    errors.InvalidJson,
    errors.ModelNotFound,
    errors.VersionNotFound,
    errors.TooLarge,
    errors.ImageTooLarge,
    errors.TooManyEvents,
    errors.TooManyInputs,
    errors.AnswerTooLarge,
    errors.UnsupportedMediaType,
    errors.RequestTimeout,
    errors.InvalidImage,
    errors.InvalidEvents,
    errors.WrongInputKind,
    errors.Overloaded,
    errors.ModelError,
    errors.Unavailable,
    errors.ModelFailedToLoad,
    errors.ShuttingDown,
    errors.DeadlineExceeded,
)
"""What can go wrong in an inference, by whichever route it comes."""


def answer(body: BaseModel, status: int = 200) -> Response:
    """A response with `body` as JSON."""
    return Response(body.model_dump_json(), status, media_type="application/json")


def failures(*errors: type[ServiceError], body: type[BaseModel] = ErrorBody) -> dict[int | str, dict[str, Any]]:
    """The failures of a route for `openapi.json`: each status with its codes, including those of every route."""
    by_status: dict[int | str, list[str]] = {}
    everywhere: tuple[type[ServiceError], ...] = (InvalidParameter, Unauthorized, ServiceError)
    for error in errors + everywhere:
        summary = _summary(error)
        by_status.setdefault(HTTP_STATUS[error.code], []).append(f"`{error.code}`: {summary}")
    return {status: {"model": body, "description": " ".join(lines)} for status, lines in sorted(by_status.items())}


def _summary(error: type[ServiceError]) -> str:
    if error is ServiceError:
        return "The service failed."
    return (error.__doc__ or "").strip().splitlines()[0]
