"""`/v1/fine_tuning/jobs`: fine-tuning jobs, in OpenAI's shapes."""

import asyncio
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from contract import errors
from service.fine_tuning.bodies import (
    CheckpointBody,
    DeletedJob,
    EventBody,
    JobBody,
    checkpoint_bodies,
    event_body,
    job_body,
)
from service.fine_tuning.create_job import MAX_METADATA, CreateJobBody, read_create_job
from service.fine_tuning.history import place_of
from service.fine_tuning.job import Status
from service.fine_tuning.plan import job_id, plan, request_hash
from service.fine_tuning.queue import check_same_request
from service.fine_tuning.stream import Streams
from service.http.connections import client_of
from service.http.openapi import json_body
from service.http.pagination import Page, cut_page
from service.http.parameters import RuntimeOf
from service.http.request_body import read_json_value
from service.http.responses import answer, failures

router = APIRouter(tags=["fine-tuning"])

_JOBS = "/v1/fine_tuning/jobs"
_JOB = "/v1/fine_tuning/jobs/{id}"
_STREAM = "text/event-stream"
_METADATA = {
    "name": "metadata",
    "in": "query",
    "description": "Only jobs with all these pairs, as `metadata[name]=value`; `metadata=null`: only jobs with none.",
    "style": "deepObject",
    "explode": True,
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
}
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {_STREAM: {"schema": {"type": "string"}}}, "description": "A page, or a stream."}
}


class JobList(Page[JobBody]):
    """A page of jobs."""


class EventList(Page[EventBody]):
    """A page of events."""


class CheckpointList(Page[CheckpointBody]):
    """A page of checkpoints."""


class EventStream(StreamingResponse):
    """The events of a job as a stream, which holds one of the places for streams until it has ended."""

    def __init__(self, streams: Streams, client: str, job: str, start: int) -> None:
        streams.enter(client)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self._messages = streams.follow(job, start)
        super().__init__(self._messages, media_type=_STREAM, headers=headers)
        self._leave = partial(streams.leave, client)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, and give its place back."""
        try:
            async with aclosing(self._messages):
                await super().__call__(scope, receive, send)
        finally:
            self._leave()


Id = Annotated[str, Path(description="A job's id.")]
Limit = Annotated[int, Query(ge=1, le=100, description="Maximum length of the page.")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[ -~]*$",
        description="The same key with the same body returns the same job.",
    ),
]


@router.post(
    _JOBS,
    operation_id="create_fine_tuning_job",
    summary="Fine-tune a model",
    status_code=201,
    response_model=JobBody,
    responses=failures(
        errors.BadRequest,
        errors.InvalidJson,
        errors.ModelNotFound,
        errors.VersionNotFound,
        errors.FileNotFound,
        errors.IdempotencyConflict,
        errors.TooLarge,
        errors.UnsupportedMediaType,
        errors.RequestTimeout,
        errors.InvalidDataset,
        errors.Overloaded,
        errors.JobsUnavailable,
        errors.InsufficientStorage,
    ),
    openapi_extra={"requestBody": json_body(CreateJobBody)},
)
async def create_job(request: Request, runtime: RuntimeOf, key: Key = None) -> Response:
    """Put a fine-tuning job into the queue. A worker runs it; its result is a new version of the model."""
    requested = await read_json_value(request)
    body = read_create_job(requested)
    identity = job_id(key)
    job = await runtime.jobs.find(identity) if key is not None else None
    if job is None:
        spec = await plan(
            body,
            requested,
            identity=identity,
            registry=runtime.registry,
            store=runtime.store,
            uploads=runtime.uploads,
            settings=runtime.settings,
        )
        job = await runtime.jobs.submit(spec)
    else:
        check_same_request(job, request_hash(requested))
    return answer(job_body(job), 201)


@router.get(
    _JOBS,
    operation_id="list_fine_tuning_jobs",
    summary="List fine-tuning jobs",
    response_model=JobList,
    responses=failures(errors.JobNotFound, errors.JobsUnavailable),
    openapi_extra={"parameters": [_METADATA]},
)
async def list_jobs(
    request: Request,
    runtime: RuntimeOf,
    after: Annotated[str | None, Query(description="The last job of the previous page.")] = None,
    limit: Limit = 20,
    status: Annotated[Status | None, Query(description="Only jobs of this status.")] = None,
    order: Annotated[Literal["asc", "desc"], Query(description="`desc`: newest first.")] = "desc",
) -> Response:
    """A page of jobs, newest first."""
    jobs, has_more = await runtime.jobs.page(
        limit=limit,
        after=after,
        status=status,
        metadata=_metadata(request),
        oldest_first=order == "asc",
    )
    return answer(JobList.of([job_body(job) for job in jobs], has_more=has_more))


@router.get(
    _JOB,
    operation_id="get_fine_tuning_job",
    summary="Get a job",
    response_model=JobBody,
    responses=failures(errors.JobNotFound, errors.JobsUnavailable),
)
async def get_job(runtime: RuntimeOf, id: Id) -> Response:
    """A job with its progress and outcome."""
    return answer(job_body(await runtime.jobs.get(id)))


@router.delete(
    _JOB,
    operation_id="delete_fine_tuning_job",
    summary="Delete a job",
    response_model=DeletedJob,
    responses=failures(errors.JobNotFound, errors.JobNotDeletable, errors.JobsUnavailable),
)
async def delete_job(runtime: RuntimeOf, id: Id) -> Response:
    """Delete a job that has ended, with its events and saved states. The version that it has published stays."""
    await runtime.jobs.delete(id)
    return answer(DeletedJob(id=id, object="fine_tuning.job", deleted=True))


@router.post(
    f"{_JOB}/cancel",
    operation_id="cancel_fine_tuning_job",
    summary="Cancel a job",
    response_model=JobBody,
    responses=failures(errors.JobNotFound, errors.JobNotCancellable, errors.JobsUnavailable),
)
async def cancel_job(runtime: RuntimeOf, id: Id) -> Response:
    """Take a job out of the queue, or have its worker stop it. Its saved state is kept, so that it can be resumed."""
    return answer(job_body(await runtime.jobs.cancel(id)))


@router.post(
    f"{_JOB}/resume",
    operation_id="resume_fine_tuning_job",
    summary="Resume a job",
    response_model=JobBody,
    responses=failures(errors.JobNotFound, errors.JobNotResumable, errors.Overloaded, errors.JobsUnavailable),
)
async def resume_job(runtime: RuntimeOf, id: Id) -> Response:
    """Put a job that was cancelled, has failed, or lost its worker back into the queue.

    It continues from its last saved state.
    """
    return answer(job_body(await runtime.jobs.resume(id)))


@router.get(
    f"{_JOB}/events",
    operation_id="list_fine_tuning_events",
    summary="List a job's events",
    response_model=EventList,
    responses={**_EVENTS, **failures(errors.JobNotFound, errors.Overloaded, errors.JobsUnavailable)},
)
async def list_events(
    request: Request,
    runtime: RuntimeOf,
    id: Id,
    after: Annotated[str | None, Query(description="The last event of the previous page.")] = None,
    limit: Limit = 20,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="For a stream: the last event received.")
    ] = None,
) -> Response:
    """A page of events, newest first; with `Accept: text/event-stream`, a stream that ends with the job."""
    await runtime.jobs.get(id)
    if _STREAM in request.headers.get("accept", ""):
        start = place_of(id, last_event_id, "Last-Event-ID") if last_event_id else 0
        return EventStream(runtime.streams, client_of(request.client.host) if request.client else "", id, start)
    before = place_of(id, after, "after") if after is not None else None
    events, has_more = await asyncio.to_thread(runtime.jobs.histories.page, id, before, limit)
    return answer(EventList.of([event_body(id, end, event) for end, event in events], has_more=has_more))


@router.get(
    f"{_JOB}/checkpoints",
    operation_id="list_fine_tuning_checkpoints",
    summary="List a job's checkpoints",
    response_model=CheckpointList,
    responses=failures(errors.JobNotFound, errors.JobsUnavailable),
)
async def list_checkpoints(
    runtime: RuntimeOf,
    id: Id,
    after: Annotated[str | None, Query(description="The last checkpoint of the previous page.")] = None,
    limit: Limit = 10,
) -> Response:
    """The version that a job has published, if it has. States saved during training are not listed."""
    unknown = errors.InvalidParameter(f"this job has no checkpoint {after!r}", param="after")
    page, has_more = cut_page(checkpoint_bodies(await runtime.jobs.get(id)), after, limit, unknown)
    return answer(CheckpointList.of(page, has_more=has_more))


def _metadata(request: Request) -> dict[str, str] | None:
    """The metadata that the query asks for: None for any, empty for jobs without metadata."""
    pairs = {}
    for name, text in request.query_params.multi_items():
        if name.startswith("metadata["):
            pairs[name.removeprefix("metadata[").removesuffix("]")] = text
    if len(pairs) > MAX_METADATA:
        raise errors.InvalidParameter(f"a job has at most {MAX_METADATA} pairs of metadata", param="metadata")
    if pairs:
        return pairs
    value = request.query_params.get("metadata")
    if value not in (None, "", "null"):
        raise errors.InvalidParameter("write metadata[name]=value, or metadata=null", param="metadata")
    return None if value is None else {}
