"""One tree of errors, and one table that turns them into HTTP."""

import errno
from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """Why something failed, for callers: a stable code, a sentence, and the parameter at fault where there is one."""

    code: str
    message: str
    param: str | None = None


class ServiceError(Exception):
    """A failure that a caller is told about.

    `code` is stable and documented; the message says what was wrong, where, and what would be right, and never holds a
    path of the server's file system. `param` names the offending parameter or input, where there is one.
    """

    code = "internal_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    @property
    def failure(self) -> Failure:
        """The error as data, to be sent, stored or shown."""
        return Failure(self.code, self.message, self.param)


class BadRequest(ServiceError):
    """The request as a whole cannot be understood."""

    code = "bad_request"


class InvalidJson(BadRequest):
    """The body is not JSON."""

    code = "invalid_json"


class Unauthorized(ServiceError):
    """No key, or a wrong one."""

    code = "unauthorized"


class NotFound(ServiceError):
    """No such route."""

    code = "not_found"


class ModelNotFound(NotFound):
    """No model of that name."""

    code = "model_not_found"


class VersionNotFound(NotFound):
    """The model has no such version."""

    code = "version_not_found"


class FileNotFound(NotFound):
    """No uploaded file of that id."""

    code = "file_not_found"


class JobNotFound(NotFound):
    """No fine-tuning job of that id."""

    code = "job_not_found"


class MethodNotAllowed(ServiceError):
    """The route exists, but not for this method."""

    code = "method_not_allowed"


class UnsupportedMediaType(ServiceError):
    """A content type that no reader takes."""

    code = "unsupported_media_type"


class RequestTimeout(ServiceError):
    """The request itself did not arrive in time."""

    code = "request_timeout"


class Conflict(ServiceError):
    """The request contradicts the present state."""

    code = "conflict"


class VersionInUse(Conflict):
    """The default version cannot be deleted or unloaded."""

    code = "version_in_use"


class VersionReadOnly(Conflict):
    """The version is in a folder of the store that is only read."""

    code = "version_read_only"


class DefaultChanged(Conflict):
    """The default is not the one that the caller expected."""

    code = "default_changed"


class VersionNotReady(Conflict):
    """A failed version cannot become the default."""

    code = "version_not_ready"


class JobNotCancellable(Conflict):
    """The job has ended."""

    code = "job_not_cancellable"


class JobNotResumable(Conflict):
    """The job has succeeded, or is still under way."""

    code = "job_not_resumable"


class IdempotencyConflict(Conflict):
    """The idempotency key belongs to a request with another body."""

    code = "idempotency_conflict"


class TooLarge(ServiceError):
    """More than the service takes."""

    code = "body_too_large"


class ImageTooLarge(TooLarge):
    """An image of too many pixels."""

    code = "image_too_large"


class TooManyEvents(TooLarge):
    """A recording of too many events."""

    code = "too_many_events"


class TooManyInputs(TooLarge):
    """Too many inputs in one request."""

    code = "too_many_inputs"


class ArchiveTooLarge(TooLarge):
    """A data set that unpacks to more than the service takes."""

    code = "archive_too_large"


class Unprocessable(ServiceError):
    """The request is understood and its content is wrong."""

    code = "invalid_parameter"


class InvalidParameter(Unprocessable):
    """A parameter has a value that cannot be used."""


class InvalidImage(Unprocessable):
    """Bytes or pixels that are no image the model can take."""

    code = "invalid_image"


class InvalidEvents(Unprocessable):
    """Bytes or lists that are no event recording the model can take."""

    code = "invalid_events"


class WrongInputKind(Unprocessable):
    """An image for an event model, or a recording for an image model."""

    code = "wrong_input_kind"


class InvalidDataset(Unprocessable):
    """A data set that cannot be read, or does not fit the model."""

    code = "invalid_dataset"


class Overloaded(ServiceError):
    """The queue is full."""

    code = "overloaded"


class ModelError(ServiceError):
    """The network gave a number that is not finite."""

    code = "model_error"


class Unavailable(ServiceError):
    """Not yet, or no longer, able to answer."""

    code = "not_ready"


class ModelFailedToLoad(Unavailable):
    """The checkpoint is broken; the message says how."""

    code = "model_failed_to_load"


class JobsUnavailable(Unavailable):
    """The jobs database does not answer."""

    code = "jobs_unavailable"


class ShuttingDown(Unavailable):
    """The service is leaving."""

    code = "shutting_down"


DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)  # what the system says of a full disk


class InsufficientStorage(ServiceError):
    """The service's disk is full."""

    code = "insufficient_storage"


class DeadlineExceeded(ServiceError):
    """The request's time passed before it was answered."""

    code = "deadline_exceeded"
