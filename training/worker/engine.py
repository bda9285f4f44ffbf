"""The jobs engine, DBOS Transact, as the worker uses it; no other file of the worker knows it.

The engine runs the workflow `WORKFLOW` for each job that it takes from the queue. A `JobsClient` reads the rows of the
jobs beside it: the engine's own calls retry for ever, and would be recorded as steps of the job.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from dbos import (
    DBOS,
    DBOSClient,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    PortableWorkflowError,
    WorkflowSerializationFormat,
)
from dbos._serialization import DefaultSerializer
from sqlalchemy.exc import SQLAlchemyError

from contract.errors import Failure
from contract.job_spec import APPLICATION, APPLICATION_VERSION, CLIENT_OPTIONS, QUEUE, WORKFLOW

QUEUE_POLL_SECONDS = 0.5
MAX_RECOVERIES = 50  # of one job, whose workers were killed or shut down

DatabaseError = SQLAlchemyError

_LOGGED_BY_THE_WORKER = (PortableWorkflowError, SQLAlchemyError)  # in one line, without a trace of the engine's calls


def _refuse_pickle(_: DefaultSerializer, serialized_data: str) -> None:
    raise ValueError("a pickled value is refused: unpickling runs whatever code it holds")


DefaultSerializer.deserialize = _refuse_pickle  # type: ignore[assignment, method-assign]


@dataclass(frozen=True)
class Claim:
    """Who runs a job, as its row says: the worker, and since when in milliseconds. `is_running` while it is claimed."""

    worker: str | None
    since: int | None
    is_running: bool


class JobsClient:
    """The rows of jobs in the database at `url`. Every method blocks, and raises `DatabaseError`."""

    def __init__(self, url: str) -> None:
        self._client = DBOSClient(system_database_url=url, serializer=DBOSPortableJSONSerializer(), **CLIENT_OPTIONS)
        self._table = self._client._sys_db.tables.workflow_status

    def claim(self, job: str) -> Claim | None:
        """Who runs the job; None for a job that is not in the database."""
        rows = self._rows(self._table.c.workflow_uuid == job)
        return Claim(rows[0].executor_id, rows[0].started_at_epoch_ms, rows[0].status == "PENDING") if rows else None

    def claimed_by(self, worker: str) -> dict[str, int | None]:
        """The jobs that run on `worker` according to the database, and since when."""
        rows = self._rows(self._table.c.status == "PENDING", self._table.c.executor_id == worker)
        return {row.workflow_uuid: row.started_at_epoch_ms for row in rows}

    def requeue(self, job: str, worker: str) -> None:
        """Put a job that runs on `worker` back into the queue; one that was cancelled meanwhile stays cancelled."""
        # The engine's own recovery, in one statement. Its public resume would also bring back a cancelled job.
        self._client._sys_db.reenqueue_for_recovery(job, [worker], QUEUE)

    def _rows(self, *conditions: sa.ColumnElement[bool]) -> list[Any]:
        """The rows of jobs that meet these conditions: only columns that no bad value makes unreadable."""
        columns = self._table.c
        names = (columns.workflow_uuid, columns.status, columns.executor_id, columns.started_at_epoch_ms)
        with self._client._sys_db.engine.connect() as connection:
            return list(connection.execute(sa.select(*names).where(columns.name == WORKFLOW, *conditions)))


def register(workflow: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Have the engine call `workflow` with the specification of each job; once for a process, before `launch`."""

    async def fine_tune(specification: dict[str, Any]) -> None:
        await workflow(specification)

    DBOS.workflow(
        name=WORKFLOW,
        max_recovery_attempts=MAX_RECOVERIES,
        serialization_type=WorkflowSerializationFormat.PORTABLE,
    )(fine_tune)


def launch(url: str, worker: str, log_level: str) -> None:
    """Take jobs from the queue from now on, one at a time; `DatabaseError` where the database cannot be reached."""
    config: DBOSConfig = {
        "name": APPLICATION,
        "system_database_url": url,
        "application_version": APPLICATION_VERSION,
        "executor_id": worker,
        "serializer": DBOSPortableJSONSerializer(),
        "log_level": _log_level(log_level),
    }
    try:
        DBOS(config=config)
        DBOS.launch()
        DBOS.register_queue(
            QUEUE, worker_concurrency=1, polling_interval_sec=QUEUE_POLL_SECONDS, on_conflict="always_update"
        )
    except DatabaseError:
        shut_down()
        raise


def shut_down() -> None:
    """Take no more jobs, and end those that run."""
    DBOS.destroy()


def as_workflow_error(failure: Failure) -> Exception:
    """What a workflow raises to end its job with this failure."""
    return PortableWorkflowError(failure.message, name="JobFailed", code=failure.code, data={"param": failure.param})


def configure_logs(level: str) -> None:
    """Keep the engine's log to what the worker does not say itself."""
    engine = logging.getLogger("dbos")
    engine.setLevel(_log_level(level))
    engine.addHandler(logging.NullHandler())  # else it adds one of its own, in another format
    engine.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], _LOGGED_BY_THE_WORKER)))


def first_line(error: Exception) -> str:
    """The message of a database, without the statement that follows it."""
    return str(error).partition("\n")[0]


def _log_level(level: str) -> str:
    """The engine warns twice a second about a database that does not answer; the worker says it once."""
    return "DEBUG" if level == "debug" else "ERROR"
