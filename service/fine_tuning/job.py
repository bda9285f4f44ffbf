"""A fine-tuning job as callers see it: request, progress and outcome."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from contract.errors import Failure, ServiceError
from contract.job_spec import JobSpec
from service.fine_tuning.history import History

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]

RUNNING, FAILED, EXHAUSTED, CANCELLED = "PENDING", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED", "CANCELLED"
WAITING = ("ENQUEUED", "DELAYED")

# by the states in the jobs database
STATUSES: Mapping[str, Status] = {
    **dict.fromkeys(WAITING, "queued"),
    RUNNING: "running",
    "SUCCESS": "succeeded",
    FAILED: "failed",
    EXHAUSTED: "failed",
    CANCELLED: "cancelled",
}
ENDED: tuple[Status, ...] = ("succeeded", "failed", "cancelled")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobRow:
    """A job's row in the database; times are Unix seconds by the database's clock.

    `state` is one of `STATUSES`, `specification` the `JobSpec` as JSON, `failure` what the worker reported;
    `taken_at` is when a worker last took the job from the queue. In a summary, the specification has no labels, and
    `label_count` is their number; `size` is the length of its text.
    """

    id: str
    state: str
    specification: Any
    failure: Failure | None
    created_at: float
    taken_at: float | None
    ended_at: float | None
    label_count: int | None = None
    size: int = 0

    @property
    def status(self) -> Status:
        """The state as callers see it."""
        return STATUSES[self.state]

    @property
    def spec(self) -> JobSpec | None:
        """The specification; None, with a warning in the log, for a row that is not a job."""
        try:
            spec = JobSpec.model_validate(self.specification)
        except ValidationError as error:
            log.warning("job %s cannot be read: %s", self.id, error.errors()[0]["msg"])
            return None
        return spec if spec.id == self.id else None


@dataclass(frozen=True)
class Job:
    """A job as it is now; times are Unix seconds. `queue_position` counts from 1 and is None once the job runs.

    `label_count` is the number of new labels, which the specification of a job in a list leaves out.
    """

    spec: JobSpec
    status: Status
    created_at: float
    label_count: int | None = None
    started_at: float | None = None
    finished_at: float | None = None
    fine_tuned_model: str | None = None
    error: Failure | None = None
    queue_position: int | None = None
    history: History = field(default_factory=History)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status in ENDED


def job_from_row(row: JobRow, history: History, queue_position: int | None) -> Job | None:
    """The job of a row and its history; None, with a warning in the log, for a row that is not a job."""
    spec = row.spec
    if spec is None:
        return None
    status, published = row.status, history.published
    has_ended = status in ENDED
    return Job(
        spec=spec,
        status=status,
        created_at=row.created_at,
        label_count=row.label_count if spec.labels is None else len(spec.labels),
        started_at=history.started_at or row.taken_at,
        finished_at=row.ended_at if has_ended else None,
        fine_tuned_model=published.model if has_ended and published else None,
        error=_failure(row) if status == "failed" else None,
        queue_position=queue_position if status == "queued" else None,
        history=history,
    )


def _failure(row: JobRow) -> Failure:
    if row.failure is not None:
        return row.failure
    if row.state == EXHAUSTED:
        return Failure(ServiceError.code, "the worker died too many times while running this job")
    return Failure(ServiceError.code, "the worker failed while running this job; its log says why")
