"""Errors as status codes of gRPC, by the HTTP status that they have."""

import grpc

from contract.errors import ServiceError
from service.http.failures import HTTP_STATUS, LONGEST_MESSAGE

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def status_of(error: ServiceError) -> tuple[grpc.StatusCode, str]:
    """The code and the message of an error, which begins with the parameter at fault unless it names it."""
    code = _CODES.get(HTTP_STATUS.get(error.code, 500), grpc.StatusCode.INTERNAL)
    param, message = error.param, error.message
    shown = message if param is None or param in message else f"{param}: {message}"
    return code, shown[:LONGEST_MESSAGE]
