"""A job, its events and its checkpoints, as they are told over HTTP."""

from collections.abc import Sequence

from contract.job_spec import Event
from service.fine_tuning.create_job import (
    CheckpointBody,
    EventBody,
    JobBody,
    JobErrorBody,
    MethodBody,
    ProgressBody,
    Resolved,
    SupervisedBody,
)
from service.fine_tuning.history import event_id
from service.fine_tuning.job import Job

OWNER = "stl-snn"


def job_body(job: Job) -> JobBody:
    """The whole job."""
    spec, history = job.spec, job.history
    resolved = Resolved(
        n_epochs=spec.n_epochs,
        batch_size=spec.batch_size,
        learning_rate_multiplier=spec.learning_rate_multiplier,
        learning_mode=spec.mode,
        freeze=list(spec.freeze),
        labels=None if spec.labels is None else list(spec.labels),
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
    """The job's event that ends at byte `end`."""
    return EventBody(
        id=event_id(job, end),
        object="fine_tuning.job.event",
        created_at=int(event.created_at),
        level=event.level,
        message=event.message,
        type=event.type,
        data=event.data,
    )


def checkpoint_bodies(job: Job) -> Sequence[CheckpointBody]:
    """What the job has published: nothing, or one version."""
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
