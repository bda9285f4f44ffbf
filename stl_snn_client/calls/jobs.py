"""`/v1/fine_tuning/jobs`: fine-tuning jobs."""

import uuid
from collections.abc import Mapping
from math import inf
from time import monotonic
from typing import Any, Literal

from stl_snn_client.answers import Checkpoint, Deleted, Job, JobEvent, Page
from stl_snn_client.call import Call, json_body, path, query, read_json

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
SILENT_SECONDS = 60.0
"""How long a stream of events may be silent; the service sends something every 15 s."""
ENDED = ("succeeded", "failed", "cancelled")

_JOBS = "/v1/fine_tuning/jobs"


def create(
    model: str,
    training_file: str,
    *,
    validation_file: str | None = None,
    suffix: str | None = None,
    seed: int | None = None,
    metadata: Mapping[str, str] | None = None,
    priority: int | None = None,
    promote: Literal["never", "if_better", "always"] | None = None,
    idempotency_key: str | None = None,
    **hyperparameters: Any,
) -> Call[Job]:
    """Put a job into the queue that fine-tunes a model (`name` or `name/version`) on an uploaded file.

    All other arguments are hyperparameters, such as `n_epochs=3` or `learning_mode="tl"`. The request may be sent more
    than once and creates one job: it has an idempotency key, a new one if none is given.
    """
    fields = {
        "validation_file": validation_file,
        "suffix": suffix,
        "seed": seed,
        "metadata": None if metadata is None else dict(metadata),
        "priority": priority,
        "promote": promote,
    }
    body: dict[str, Any] = {"model": model, "training_file": training_file}
    body |= {name: value for name, value in fields.items() if value is not None}
    if hyperparameters:
        body["method"] = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
    content, headers = json_body(body)
    headers["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
    return Call("POST", _JOBS, read_json, content=content, headers=headers)


def retrieve(job_id: str) -> Call[Job]:
    """A job with its progress and outcome."""
    return Call("GET", _job(job_id), read_json)


def list_jobs(
    *,
    after: str | None = None,
    limit: int | None = None,
    status: Status | None = None,
    order: Literal["asc", "desc"] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Call[Page[Job]]:
    """All jobs, newest first, or those with this status and metadata; fetched page by page, of `limit` each."""
    pairs = {f"metadata[{name}]": value for name, value in (metadata or {}).items()}
    return Call("GET", _JOBS, read_json, params=query(after=after, limit=limit, status=status, order=order) | pairs)


def cancel(job_id: str) -> Call[Job]:
    """Take a job out of the queue, or stop it; it can be resumed."""
    return _post(job_id, "cancel")


def resume(job_id: str) -> Call[Job]:
    """Put a job that was cancelled or has failed back into the queue; it continues from its last saved state."""
    return _post(job_id, "resume")


def delete(job_id: str) -> Call[Deleted]:
    """Delete a job that has ended, with its events; the version that it has published stays."""
    return Call("DELETE", _job(job_id), read_json, repeatable=False)


def past_events(job_id: str, *, after: str | None = None, limit: int | None = None) -> Call[Page[JobEvent]]:
    """The events of a job so far, newest first; fetched page by page, of `limit` each."""
    return Call("GET", f"{_job(job_id)}/events", read_json, params=query(after=after, limit=limit))


def checkpoints(job_id: str, *, after: str | None = None, limit: int | None = None) -> Call[Page[Checkpoint]]:
    """The version that a job has published, if it has."""
    return Call("GET", f"{_job(job_id)}/checkpoints", read_json, params=query(after=after, limit=limit))


def live_events(job_id: str, last_event_id: str | None) -> Call[bytes]:
    """The events of a job as they happen, after the one with this id."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
    return Call("GET", f"{_job(job_id)}/events", bytes, headers=headers, timeout=SILENT_SECONDS)


def has_ended(job: Job) -> bool:
    """Whether a job will do no more by itself."""
    return job["status"] in ENDED


def deadline_after(timeout: float | None) -> float:
    """When to stop waiting, as a time of `monotonic`."""
    return inf if timeout is None else monotonic() + timeout


def pause_before(deadline: float, every: float, job: Job) -> float:
    """Seconds until the job is asked for again; `TimeoutError` after the deadline."""
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError(f"job {job['id']} is still {job['status']}")
    return min(every, left)


def _job(job_id: str) -> str:
    return path(f"{_JOBS}/{{}}", job_id)


def _post(job_id: str, action: str) -> Call[Job]:
    return Call("POST", f"{_job(job_id)}/{action}", read_json, repeatable=False)  # the second would be a conflict
