"""A fine-tuning job as it is told of: what was asked for, how far it is, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from contract.errors import Failure
from contract.job_spec import JobSpec
from service.fine_tuning.history import History

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]

# by the names of the jobs database
STATUSES: Mapping[str, Status] = {
    "ENQUEUED": "queued",
    "DELAYED": "queued",
    "PENDING": "running",
    "SUCCESS": "succeeded",
    "ERROR": "failed",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
    "CANCELLED": "cancelled",
}
ENDED: tuple[Status, ...] = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Job:
    """A job as it is now; times are Unix seconds. `queue_position` counts from 1 and is None once it runs."""

    spec: JobSpec
    status: Status
    created_at: float
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
