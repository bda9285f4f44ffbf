"""The size limit of a request's body."""

import sys
from collections.abc import Mapping
from typing import Any

from starlette.types import Scope

from contract.errors import ServiceError, TooLarge
from service.fine_tuning.create_job import MAX_JOB_BYTES
from service.http.entrance.passage import Headers

_MODELS = "/v1/models/"
_JOBS = "/v1/fine_tuning/"
_REPOSITORY = "/v2/repository/"
_MAX_REPOSITORY_BYTES = 64 * 1024  # of JSON, which is parsed on the event loop


def is_upload(scope: Scope) -> bool:
    """Whether the body is a data set, which may be large and slow."""
    return (scope["method"], scope["path"]) == ("POST", "/v1/files")


def is_live_stream(scope: Mapping[str, Any]) -> bool:
    """Whether the body is a stream of events, which has no end and limits of its own."""
    path: str = scope["path"]
    return scope["method"] == "POST" and path.startswith(_MODELS) and path.endswith("/stream")


class BodyLimit:
    """A body has at most `max_bytes`, or `max_upload_bytes` if it is a data set. A stream of events has no limit here.

    A fine-tuning job is kept and shown again, so its body has `MAX_JOB_BYTES` at most; one for the model
    repository has few bytes too. A body is refused at once if its length is announced, otherwise when it exceeds the
    limit.
    """

    def __init__(self, max_bytes: int, max_upload_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_upload_bytes = max_upload_bytes

    def of(self, scope: Scope) -> int:
        """The most bytes that the body of this request may have."""
        if is_live_stream(scope):
            return sys.maxsize
        if is_upload(scope):
            return self._max_upload_bytes
        if scope["path"].startswith(_REPOSITORY):
            return min(self._max_bytes, _MAX_REPOSITORY_BYTES)
        return min(self._max_bytes, MAX_JOB_BYTES) if scope["path"].startswith(_JOBS) else self._max_bytes

    def refusal(self, headers: Headers, max_bytes: int) -> ServiceError | None:
        """`TooLarge` if the announced length exceeds `max_bytes`."""
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > max_bytes:
            return TooLarge(f"the body exceeds the limit of {max_bytes} bytes")
        return None
