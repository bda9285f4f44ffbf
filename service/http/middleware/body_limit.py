"""The size limit of a request's body."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.errors import TooLarge
from service.fine_tuning.create_job import MAX_JOB_BYTES
from service.http.failures import error_response
from service.http.middleware.refusal import refuse_unguarded

_JOBS = "/v1/fine_tuning/"


def is_upload(scope: Scope) -> bool:
    """Whether the body is a data set, which may be large and slow."""
    return (scope["type"], scope.get("method"), scope.get("path")) == ("http", "POST", "/v1/files")


class BodyLimit:
    """Refuses a body of more than `max_bytes`, or of more than `max_upload_bytes` if it is a data set.

    A fine-tuning job is kept and shown again, so its body has `MAX_JOB_BYTES` at most. A body is refused at once if its
    length is announced, otherwise when it exceeds the limit.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_upload_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await refuse_unguarded(scope, receive, send)
            return
        max_bytes = self._limit(scope)
        announced = Headers(scope=scope).get("content-length", "")
        error = TooLarge(f"the body exceeds the limit of {max_bytes} bytes")
        if announced.isdecimal() and int(announced) > max_bytes:
            await error_response(error)(scope, receive, send)
            return
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise error
            return message

        await self._app(scope, receive_bounded, send)

    def _limit(self, scope: Scope) -> int:
        if is_upload(scope):
            return self._max_upload_bytes
        return min(self._max_bytes, MAX_JOB_BYTES) if scope["path"].startswith(_JOBS) else self._max_bytes
