"""The fine-tuning jobs: a client of their database, which is the only truth on a job's status.

The database is DBOS Transact's, on SQLite or Postgres; a job is one of its workflows, which a worker runs. It is opened
when it is first needed, so that a service whose database cannot be reached answers everything else.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from dbos import (
    DBOS,
    DBOSClient,
    DBOSPortableJSONSerializer,
    EnqueueOptions,
    PortableWorkflowError,
    WorkflowSerializationFormat,
    WorkflowStatus,
)
from dbos import error as dbos_error
from pydantic import ValidationError

from contract.errors import (
    DISK_FULL_ERRNOS,
    Failure,
    IdempotencyConflict,
    InsufficientStorage,
    JobNotCancellable,
    JobNotFound,
    JobNotResumable,
    JobsUnavailable,
    ServiceError,
)
from contract.job_events import Cancelled, Resumed
from contract.job_spec import APPLICATION, APPLICATION_VERSION, LOST_AFTER_SECONDS, QUEUE, WORKFLOW, JobSpec
from service.fine_tuning.connection import CONNECTIONS, make_engine, sqlite_file, try_to_write, url_for_migration
from service.fine_tuning.history import Histories
from service.fine_tuning.job import ENDED, STATUSES, Job, Status
from service.fine_tuning.queries import WAITING, JobQueries, no_jobs

T = TypeVar("T")

_ANSWER_SECONDS = 3.0
_COUNTS_SECONDS = 3.0
_COUNTS_WAIT_SECONDS = 0.2
_PAGE = 100

log = logging.getLogger(__name__)


class JobQueue:
    """The jobs in the database at `url`, with their folders under `folder`.

    Every method raises `JobsUnavailable` within seconds where the database cannot be reached or is locked.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self.histories = Histories(folder)
        self._engine = make_engine(url)
        self._queries = JobQueries(self._engine)
        self._client: DBOSClient | None = None
        self._opening: asyncio.Task[DBOSClient] | None = None
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="jobs")
        self._fault: str | None = None
        self._counts: tuple[float, Mapping[str, int]] | None = None
        self._counting: asyncio.Task[None] | None = None

    async def submit(self, spec: JobSpec) -> Job:
        """Put a job into the queue; one of this id that came from the same request is returned as it is.

        `IdempotencyConflict` for one that came from another request.
        """
        options = EnqueueOptions(
            workflow_name=WORKFLOW,
            queue_name=QUEUE,
            workflow_id=spec.id,
            workflow_id_reuse_policy="reject",
            app_version=APPLICATION_VERSION,
            application_name=APPLICATION,
            priority=dbos_priority(spec.priority),
            serialization_type=WorkflowSerializationFormat.PORTABLE,
        )

        def enqueue(client: DBOSClient) -> None:
            try:
                client.enqueue(options, spec.model_dump(mode="json"))
            except dbos_error.DBOSWorkflowIDInUseError:
                log.info("job %s is there already", spec.id)

        await self._run(enqueue)
        job = await self.get(spec.id)
        if job.spec.request_sha256 != spec.request_sha256:
            raise IdempotencyConflict("this Idempotency-Key came before with another body", param="Idempotency-Key")
        return job

    async def find(self, identity: str) -> Job | None:
        """The job of this id, if there is one."""
        return await self._run(lambda client: next(iter(self._read(client, [identity])), None))

    async def get(self, identity: str) -> Job:
        """The job of this id; `JobNotFound`."""
        job = await self.find(identity)
        if job is None:
            raise _unknown(identity)
        return job

    async def page(
        self,
        *,
        limit: int,
        after: str | None = None,
        status: Status | None = None,
        metadata: Mapping[str, str] | None = None,
        oldest_first: bool = False,
    ) -> tuple[list[Job], bool]:
        """At most `limit` jobs, newest first, from the one `after` on, and whether there are more.

        `metadata`: those that carry all of these; an empty one: those that carry none. `JobNotFound` for an unknown
        `after`.
        """

        def read(client: DBOSClient) -> list[Job]:
            found: list[Job] = []
            last = after
            while len(found) <= limit:
                wanted = limit + 1 if metadata is None else max(_PAGE, limit + 1)
                ids = self._queries.ids(after=last, status=status, oldest_first=oldest_first, limit=wanted)
                found += [job for job in self._read(client, ids) if _carries(job, metadata)]
                if len(ids) < wanted:
                    break
                last = ids[-1]
            return found

        jobs = await self._run(read)
        return jobs[:limit], len(jobs) > limit

    async def cancel(self, identity: str) -> Job:
        """Take a job out of the queue, or have its worker stop it; `JobNotCancellable` for one that has ended."""

        def cancel(client: DBOSClient) -> None:
            self._refuse_to_cancel(identity, _status(client, identity))
            client.cancel_workflow(identity)
            if (status := _status(client, identity)) != "CANCELLED":  # it ended just now
                self._refuse_to_cancel(identity, status)

        await self._run(cancel)
        await asyncio.to_thread(self.histories.add, identity, "The job was cancelled.", Cancelled())
        return await self.get(identity)

    async def resume(self, identity: str) -> Job:
        """Let a job go on from its last saved state: one that was cancelled, has failed, or lost its worker.

        `JobNotResumable` for every other.
        """

        def resume(client: DBOSClient) -> None:
            status = _status(client, identity)
            if status == "ERROR":
                client.rewind_workflow(identity, start_step=1, queue_name=QUEUE)
            elif STATUSES[status] in ("cancelled", "failed") or (
                status == "PENDING" and self._is_lost(client, identity)
            ):
                client.resume_workflow(identity, queue_name=QUEUE)
            else:
                raise JobNotResumable(f"job {identity!r} is {_in_words(STATUSES[status])}", param="id")

        await self._run(resume)
        await asyncio.to_thread(self.histories.add, identity, "The job was resumed.", Resumed())
        return await self.get(identity)

    async def counts(self) -> Mapping[str, int] | None:
        """How many jobs have each status, a few seconds old at most; None where that cannot be told at once."""
        if self._counts is None or time.monotonic() - self._counts[0] > _COUNTS_SECONDS:
            if self._counting is None or self._counting.done():
                self._counting = asyncio.create_task(self._count())
            await asyncio.wait([self._counting], timeout=_COUNTS_WAIT_SECONDS)
        return self._counts[1] if self._counts is not None else None

    async def close(self) -> None:
        """Let go of the database; a statement that still waits for it is not waited for."""
        for task in (self._opening, self._counting):
            if task is not None:
                task.cancel()
        await asyncio.gather(*filter(None, (self._opening, self._counting)), return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.destroy()
        self._engine.dispose()

    async def _count(self) -> None:
        file = sqlite_file(self._url)
        try:
            if file is None or file.exists():  # looking is no reason to make a database
                counts = await self._run(lambda _: self._queries.counts())
            else:
                counts = no_jobs()
            self._counts = (time.monotonic(), counts)
        except ServiceError:
            self._counts = None

    async def _run(self, work: Callable[[DBOSClient], T]) -> T:
        """Do something with the database, on a thread, within a bounded time."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                client = self._client or await self._open()
                return await self._on_thread(lambda: work(client))
        except TimeoutError:
            raise self._unavailable("it took too long") from None

    async def _open(self) -> DBOSClient:
        """The client, opened once for all that wait for it."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._on_thread(self._connect))
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._client = await asyncio.shield(self._opening)
        return self._client

    def _connect(self) -> DBOSClient:
        logging.getLogger("dbos").setLevel(logging.ERROR)
        if (file := sqlite_file(self._url)) is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            try_to_write(self._engine)
        DBOS.migrate(url_for_migration(self._url))  # one at a time, in this process and in others
        return DBOSClient(
            system_database_engine=self._engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    async def _on_thread(self, work: Callable[[], T]) -> T:
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (sa.exc.SQLAlchemyError, sqlite3.Error, OSError, dbos_error.DBOSException) as error:
            if _is_full(error):
                raise InsufficientStorage("the disk is full") from error
            raise self._unavailable(str(error)) from error
        self._fault = None
        return found

    def _unavailable(self, reason: str) -> JobsUnavailable:
        """The error that the caller gets; why is logged, once and not at every call."""
        first = reason.splitlines()[0] if reason else "no reason given"
        if first != self._fault:
            log.error("the jobs database does not answer: %s", first)
        self._fault = first
        return JobsUnavailable("the jobs database does not answer; try again")

    def _read(self, client: DBOSClient, ids: list[str]) -> list[Job]:
        """These jobs, in this order, without those that are none."""
        if not ids:
            return []
        rows = {row.workflow_id: row for row in client.list_workflows(workflow_ids=ids) if row.name == WORKFLOW}
        waiting = any(row.status in WAITING for row in rows.values())
        queue = self._queries.places() if waiting else {}
        jobs = (self._job(rows[identity], queue.get(identity)) for identity in ids if identity in rows)
        return [job for job in jobs if job is not None]

    def _job(self, row: WorkflowStatus, queue_position: int | None) -> Job | None:
        try:
            spec = JobSpec.model_validate(row.input["args"][0] if row.input else None)
        except (ValidationError, IndexError) as error:
            log.warning("job %s cannot be read: %s", row.workflow_id, error)
            return None
        status = STATUSES[row.status]
        ended = status in ENDED
        history = self.histories.read(spec.id)
        return Job(
            spec=spec,
            status=status,
            created_at=_seconds(row.created_at) or 0.0,
            started_at=history.started_at or _seconds(row.dequeued_at),
            finished_at=_seconds(row.completed_at) if ended else None,
            fine_tuned_model=history.published.model if ended and history.published else None,
            error=_failure(row) if status == "failed" else None,
            queue_position=queue_position if status == "queued" else None,
            history=history,
        )

    def _is_lost(self, client: DBOSClient, identity: str) -> bool:
        """Whether no worker has said for a while that it runs the job."""
        row = client.list_workflows(workflow_ids=[identity], load_input=False, load_output=False)[0]
        heard = max(self.histories.heartbeat(identity) or 0.0, _seconds(row.dequeued_at) or 0.0)
        return time.time() - heard > LOST_AFTER_SECONDS

    def _refuse_to_cancel(self, identity: str, status: str) -> None:
        if STATUSES[status] in ENDED:
            raise JobNotCancellable(f"job {identity!r} {_in_words(STATUSES[status])} already", param="id")


def dbos_priority(priority: int) -> int:
    """Ours is -100 to 100, higher first; the engine's begins at 1, lower first."""
    return 101 - priority


def _status(client: DBOSClient, identity: str) -> str:
    rows = client.list_workflows(workflow_ids=[identity], name=WORKFLOW, load_input=False, load_output=False)
    if not rows:
        raise _unknown(identity)
    return rows[0].status


def _unknown(identity: str) -> JobNotFound:
    return JobNotFound(f"there is no fine-tuning job {identity!r}", param="id")


def _carries(job: Job, metadata: Mapping[str, str] | None) -> bool:
    if metadata is None:
        return True
    return metadata.items() <= job.spec.metadata.items() if metadata else not job.spec.metadata


def _failure(row: WorkflowStatus) -> Failure:
    error = row.error
    if isinstance(error, PortableWorkflowError) and isinstance(error.code, str):
        param = error.data.get("param") if isinstance(error.data, dict) else None
        return Failure(error.code, error.message, param if isinstance(param, str) else None)
    if row.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return Failure(ServiceError.code, "the worker died too many times while running this job")
    return Failure(ServiceError.code, "the worker failed while running this job; its log says why")


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in DISK_FULL_ERRNOS
    text = str(error)
    return "database or disk is full" in text or "No space left on device" in text


def _in_words(status: Status) -> str:
    return {"queued": "in the queue", "running": "running", "cancelled": "was cancelled"}.get(status, f"has {status}")
