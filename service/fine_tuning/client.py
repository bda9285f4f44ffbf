"""The client of the jobs engine, DBOS Transact; no other file of the service knows it.

A job is a workflow of DBOS, and its row in DBOS's table is the only truth about its status.
"""

import logging
import sqlite3

import sqlalchemy as sa
from dbos import (
    DBOS,
    DBOSClient,
    DBOSPortableJSONSerializer,
    EnqueueOptions,
    WorkflowSerializationFormat,
)
from dbos import error as dbos_error
from dbos._serialization import DefaultSerializer

from contract.job_spec import APPLICATION, APPLICATION_VERSION, CLIENT_OPTIONS, QUEUE, WORKFLOW, JobSpec
from service.fine_tuning.connection import set_up_sqlite, sqlite_file, url_for_migration
from service.fine_tuning.payloads import summary_of
from service.fine_tuning.queries import JobQueries

CLIENT_ERRORS = (sa.exc.SQLAlchemyError, sqlite3.Error, OSError, dbos_error.DBOSException)

log = logging.getLogger(__name__)


def _refuse_pickle(_: DefaultSerializer, serialized_data: str) -> None:
    raise ValueError("a pickled value is refused: unpickling runs whatever code it holds")


DefaultSerializer.deserialize = _refuse_pickle  # type: ignore[assignment, method-assign]


class JobClient:
    """Reads and changes jobs. Every method blocks, and raises one of `CLIENT_ERRORS` where the database fails."""

    def __init__(self, url: str, engine: sa.Engine) -> None:
        """Create the database and its tables where they are missing."""
        logging.getLogger("dbos").setLevel(logging.ERROR)
        if (file := sqlite_file(url)) is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            set_up_sqlite(engine)
        DBOS.migrate(url_for_migration(url))  # one at a time, in this process and in others
        self.queries = JobQueries(engine)
        self.queries.summarize_older()
        self._dbos = DBOSClient(
            system_database_engine=engine, serializer=DBOSPortableJSONSerializer(), **CLIENT_OPTIONS
        )

    def enqueue(self, spec: JobSpec) -> None:
        """Put a job into the queue; nothing happens where a job of this id exists."""
        options = EnqueueOptions(
            workflow_name=WORKFLOW,
            queue_name=QUEUE,
            workflow_id=spec.id,
            workflow_id_reuse_policy="reject",
            app_version=APPLICATION_VERSION,
            application_name=APPLICATION,
            priority=dbos_priority(spec.priority),
            serialization_type=WorkflowSerializationFormat.PORTABLE,
            attributes=summary_of(spec),
        )
        try:
            self._dbos.enqueue(options, spec.model_dump(mode="json"))
        except dbos_error.DBOSWorkflowIDInUseError:
            log.info("job %s is already there", spec.id)

    def cancel(self, identity: str) -> None:
        """Cancel a job that is in the queue or running."""
        self._dbos.cancel_workflow(identity)

    def requeue(self, identity: str) -> None:
        """Put a job that was cancelled, or has lost its worker, back into the queue."""
        self._dbos.resume_workflow(identity, queue_name=QUEUE)

    def retry(self, identity: str) -> None:
        """Put a job that ended with a failure back into the queue."""
        self._dbos.rewind_workflow(identity, start_step=1, queue_name=QUEUE)

    def close(self) -> None:
        """Release the client; the engine stays open."""
        self._dbos.destroy()


def dbos_priority(priority: int) -> int:
    """Ours is -100 to 100, higher first; DBOS's begins at 1, lower first."""
    return 101 - priority
