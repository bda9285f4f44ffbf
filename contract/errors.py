"""The errors that callers see, in one tree. `service.http.failures` maps their codes to HTTP statuses."""

import errno
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Failure:
    """Why something failed, for callers: a stable code, a sentence, and the parameter at fault if there is one."""

    code: str
    message: str
    param: str | None = None


class ServiceError(Exception):
    """An error that is reported to the caller.

    `code` is stable and documented. `message` says what is wrong, where, and what would be right; it never contains a
    path of the server's file system. `param` names the parameter or input at fault, if there is one.
    """

    code = "internal_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    @property
    def failure(self) -> Failure:
        """The error as data."""
        return Failure(self.code, self.message, self.param)


class BadRequest(ServiceError):
    """The request cannot be parsed."""

    code = "bad_request"


class InvalidJson(BadRequest):
    """The body is not JSON."""

    code = "invalid_json"


class Unauthorized(ServiceError):
    """The API key is missing or wrong."""

    code = "unauthorized"


class ForeignHost(ServiceError):
    """The request names a host that is not this service."""

    code = "foreign_host"


class ForeignOrigin(ServiceError):
    """The request was made by a page of another site."""

    code = "foreign_origin"


class NotFound(ServiceError):
    """There is no such route."""

    code = "not_found"


class ModelNotFound(NotFound):
    """There is no such model."""

    code = "model_not_found"


class VersionNotFound(NotFound):
    """The model has no such version."""

    code = "version_not_found"


class FileNotFound(NotFound):
    """There is no such uploaded file."""

    code = "file_not_found"


class JobNotFound(NotFound):
    """There is no such fine-tuning job."""

    code = "job_not_found"


class MethodNotAllowed(ServiceError):
    """The route does not support this method."""

    code = "method_not_allowed"


class UnsupportedTransferCoding(ServiceError):
    """The body has a transfer coding other than `chunked`."""

    code = "unsupported_transfer_coding"


class UnsupportedMediaType(ServiceError):
    """The content type is not supported."""

    code = "unsupported_media_type"


class RequestTimeout(ServiceError):
    """The request did not arrive in time."""

    code = "request_timeout"


class Conflict(ServiceError):
    """The request conflicts with the current state."""

    code = "conflict"


class VersionInUse(Conflict):
    """The default version cannot be deleted or unloaded."""

    code = "version_in_use"


class VersionReadOnly(Conflict):
    """The version is in a folder of the store that is only read."""

    code = "version_read_only"


class DefaultChanged(Conflict):
    """The default version is not the expected one."""

    code = "default_changed"


class VersionNotReady(Conflict):
    """A version that failed to load cannot become the default."""

    code = "version_not_ready"


class JobNotCancellable(Conflict):
    """The job has already ended."""

    code = "job_not_cancellable"


class JobNotResumable(Conflict):
    """The job has succeeded, or is still queued or running."""

    code = "job_not_resumable"


class JobNotDeletable(Conflict):
    """The job is queued, running, or still being stopped."""

    code = "job_not_deletable"


class IdempotencyConflict(Conflict):
    """The idempotency key was already used with a different body."""

    code = "idempotency_conflict"


class TooLarge(ServiceError):
    """The body exceeds a limit."""

    code = "body_too_large"


class ImageTooLarge(TooLarge):
    """An image has too many pixels."""

    code = "image_too_large"


class TooManyEvents(TooLarge):
    """A recording has too many events."""

    code = "too_many_events"


class TooManyInputs(TooLarge):
    """The request has too many inputs."""

    code = "too_many_inputs"


class AnswerTooLarge(TooLarge):
    """The answer would exceed a limit."""

    code = "answer_too_large"


class ArchiveTooLarge(TooLarge):
    """The data set exceeds a limit once unpacked."""

    code = "archive_too_large"


class Unprocessable(ServiceError):
    """The request was parsed, but its content is invalid."""

    code = "invalid_parameter"


class InvalidParameter(Unprocessable):
    """A parameter or field has an invalid value."""


class InvalidImage(Unprocessable):
    """The content is not an image that the model can read."""

    code = "invalid_image"


class InvalidEvents(Unprocessable):
    """The content is not an event recording that the model can read."""

    code = "invalid_events"


class WrongInputKind(Unprocessable):
    """An image was sent to an event model, or a recording to an image model."""

    code = "wrong_input_kind"


class InvalidDataset(Unprocessable):
    """The data set cannot be read, or does not fit the model."""

    code = "invalid_dataset"


class Overloaded(ServiceError):
    """Too many requests are waiting."""

    code = "overloaded"


class ModelError(ServiceError):
    """The network produced a number that is not finite."""

    code = "model_error"


class Unavailable(ServiceError):
    """The service or the model is not ready."""

    code = "not_ready"


class ModelFailedToLoad(Unavailable):
    """The checkpoint is broken; the message says how."""

    code = "model_failed_to_load"


class TooManyConnections(Unavailable):
    """Too many connections are open."""

    code = "too_many_connections"


class JobsUnavailable(Unavailable):
    """The jobs database does not answer."""

    code = "jobs_unavailable"


class ShuttingDown(Unavailable):
    """The service is shutting down."""

    code = "shutting_down"


DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)  # of a full disk


class InsufficientStorage(ServiceError):
    """The disk is full, or the uploads or the jobs have reached their limit."""

    code = "insufficient_storage"


class DeadlineExceeded(ServiceError):
    """The request was not answered in time."""

    code = "deadline_exceeded"


def error_of(failure: Failure) -> ServiceError:
    """The error of a failure in another process, of the class that has its code; `ServiceError` for an unknown code."""
    return _by_code().get(failure.code, ServiceError)(failure.message, param=failure.param)


@cache
def _by_code() -> dict[str, type[ServiceError]]:
    found: dict[str, type[ServiceError]] = {}
    waiting = [ServiceError]
    for kind in waiting:
        found.setdefault(kind.code, kind)
        waiting += kind.__subclasses__()
    return found | {InvalidParameter.code: InvalidParameter}
