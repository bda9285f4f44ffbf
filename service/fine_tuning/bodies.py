"""JSON bodies for jobs, their events and their checkpoints."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from contract.card import Mode
from contract.job_events import Event, Kind, Level
from contract.job_spec import Promote
from service.fine_tuning.history import event_id
from service.fine_tuning.job import Job, Status

OWNER = "stl-snn"


class JobErrorBody(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    param: str | None


class Resolved(BaseModel):
    """The hyperparameters of a job, with `auto` replaced."""

    n_epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate_multiplier: float
    threshold_learning_rate_multiplier: float
    threshold_weight_decay: float
    threshold_floor: float | None
    learning_mode: Mode
    freeze: list[str]
    labels: list[str] | None = Field(description="Labels of a new output layer; null in lists and streams.")
    label_count: PositiveInt | None = Field(description="Number of labels of a new output layer.")


class SupervisedBody(BaseModel):
    """The hyperparameters again, in OpenAI's newer place."""

    hyperparameters: Resolved


class MethodBody(BaseModel):
    """How the job learns."""

    type: Literal["supervised"]
    supervised: SupervisedBody


class ProgressBody(BaseModel):
    """The progress of a job: completed epochs and steps of the optimizer; `steps` is null until it is known."""

    epoch: NonNegativeInt
    epochs: PositiveInt
    step: NonNegativeInt
    steps: PositiveInt | None


class JobBody(BaseModel):
    """A fine-tuning job; times are Unix seconds."""

    id: str
    object: Literal["fine_tuning.job"]
    created_at: int
    started_at: int | None
    finished_at: int | None
    estimated_finish: int | None
    status: Status
    queue_position: PositiveInt | None = Field(description="1 for the next job to run; null unless queued.")
    model: str = Field(description="The version that is fine-tuned, as `name/version`.")
    fine_tuned_model: str | None = Field(description="The result, as `name/version`; null until there is one.")
    error: JobErrorBody | None
    training_file: str
    validation_file: str | None
    hyperparameters: Resolved
    method: MethodBody
    suffix: str | None
    seed: int
    metadata: dict[str, str]
    priority: int
    promote: Promote
    attempt: NonNegativeInt = Field(description="How often training was started; 0 before the first start.")
    progress: ProgressBody
    metrics: dict[str, float] = Field(
        description="`loss`, `accuracy` and `spikes_per_sample` after the last epoch, and the base version's "
        "`baseline_accuracy`; only those that are known."
    )
    organization_id: str
    result_files: list[str]


class DeletedJob(BaseModel):
    """The answer to the deletion of a job."""

    id: str
    object: Literal["fine_tuning.job"]
    deleted: Literal[True]


class EventBody(BaseModel):
    """An event of a job."""

    id: str
    object: Literal["fine_tuning.job.event"]
    created_at: int
    level: Level
    message: str
    type: Kind
    data: dict[str, Any]


class CheckpointBody(BaseModel):
    """A version that a job published."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"]
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str = Field(description="The published version, as `name/version`.")
    step_number: NonNegativeInt
    metrics: dict[str, float]


def job_body(job: Job) -> JobBody:
    """The body of a job."""
    spec, history = job.spec, job.history
    resolved = Resolved(
        n_epochs=spec.n_epochs,
        batch_size=spec.batch_size,
        learning_rate_multiplier=spec.learning_rate_multiplier,
        threshold_learning_rate_multiplier=spec.threshold_learning_rate_multiplier,
        threshold_weight_decay=spec.threshold_weight_decay,
        threshold_floor=spec.threshold_floor,
        learning_mode=spec.mode,
        freeze=list(spec.freeze),
        labels=None if spec.labels is None else list(spec.labels),
        label_count=job.label_count,
    )
    return JobBody(
        id=spec.id,
        object="fine_tuning.job",
        created_at=int(job.created_at),
        started_at=_whole(job.started_at),
        finished_at=_whole(job.finished_at),
        estimated_finish=_whole(history.estimated_finish) if job.status == "running" else None,
        status=job.status,
        queue_position=job.queue_position,
        model=f"{spec.model}/{spec.version}",
        fine_tuned_model=job.fine_tuned_model,
        error=None if job.error is None else JobErrorBody(**vars(job.error)),
        training_file=spec.training_file.id,
        validation_file=None if spec.validation_file is None else spec.validation_file.id,
        hyperparameters=resolved,
        method=MethodBody(type="supervised", supervised=SupervisedBody(hyperparameters=resolved)),
        suffix=spec.suffix,
        seed=spec.seed,
        metadata=spec.metadata,
        priority=spec.priority,
        promote=spec.promote,
        attempt=history.attempt,
        progress=ProgressBody(epoch=history.epoch, epochs=spec.n_epochs, step=history.step, steps=history.steps),
        metrics=history.metrics,
        organization_id=OWNER,
        result_files=[],
    )


def event_body(job: str, end: int, event: Event) -> EventBody:
    """The body of the job's event that ends at byte `end`."""
    return EventBody(
        id=event_id(job, end),
        object="fine_tuning.job.event",
        created_at=int(event.created_at),
        level=event.level,
        message=event.message,
        type=event.type,
        data=event.data.model_dump(mode="json"),
    )


def checkpoint_bodies(job: Job) -> Sequence[CheckpointBody]:
    """The bodies of the versions that the job has published: none or one."""
    published = job.history.published
    if published is None:
        return []
    return [
        CheckpointBody(
            id=f"ftckpt-{job.spec.id.removeprefix('ftjob-')}",
            object="fine_tuning.job.checkpoint",
            created_at=int(published.at),
            fine_tuning_job_id=job.spec.id,
            fine_tuned_model_checkpoint=published.model,
            step_number=published.step,
            metrics=published.metrics,
        )
    ]


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
