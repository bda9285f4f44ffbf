"""Which jobs are this worker's, as the jobs database says: it is asked here, beside the engine that runs them.

The engine's own calls retry for ever, and would be recorded as steps of the job.
"""

import asyncio
import logging
import threading
from collections.abc import Collection

from dbos import DBOSClient, DBOSPortableJSONSerializer, WorkflowStatus
from sqlalchemy.exc import SQLAlchemyError

from contract.job_spec import APPLICATION, LOST_AFTER_SECONDS, QUEUE

WATCH_SECONDS = 0.5

log = logging.getLogger(__name__)


class Claims:
    """The rows of the jobs that run, or ran last, on `worker`, in the database at `url`."""

    def __init__(self, url: str, worker: str) -> None:
        self._worker = worker
        self._client = DBOSClient(
            system_database_url=url,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    async def until_lost(self, job: str) -> None:
        """Wait until the job is cancelled, or resumed for somebody else to take. A silent database changes nothing."""
        claim: int | None = None
        while True:
            row = await self.found(job)
            if row is None or row.status != "PENDING" or row.executor_id != self._worker:
                return
            claim = claim or row.dequeued_at
            if row.dequeued_at != claim:
                return
            await asyncio.sleep(WATCH_SECONDS)

    async def found(self, job: str) -> WorkflowStatus | None:
        """The job's row, once the database answers."""
        answers = True
        while True:
            try:
                return await asyncio.to_thread(self._look, job)
            except SQLAlchemyError as error:
                if answers:
                    log.warning("the jobs database does not answer; job %s waits: %s", job, first_line(error))
                answers = False
            await asyncio.sleep(WATCH_SECONDS)

    def give_back(self) -> None:
        """Put this worker's jobs back into the queue, for any worker, but for those that were cancelled meanwhile."""
        for job in self._mine():
            self._requeue(job)

    def take_up_left_jobs(self, running: Collection[str], leaving: threading.Event) -> None:
        """Until `leaving`, queue a job again that is down as running here and is not among those `running`.

        That is what becomes of one whose outcome could not be written.
        """
        seen: dict[str, int | None] = {}
        while not leaving.wait(LOST_AFTER_SECONDS):
            try:
                left = {job: since for job, since in self._mine().items() if job not in running}
                for job in left.keys() & seen.keys():
                    if left[job] == seen[job]:
                        log.warning("job %s was left without an outcome and is taken up again", job)
                        self._requeue(job)
                seen = left
            except SQLAlchemyError as error:
                log.debug("no look at the jobs: %s", first_line(error))

    def _look(self, job: str) -> WorkflowStatus | None:
        rows = self._client.list_workflows(workflow_ids=[job], load_input=False, load_output=False)
        return rows[0] if rows else None

    def _mine(self) -> dict[str, int | None]:
        """The jobs that the database has down as running here, and since when."""
        rows = self._client.list_workflows(
            status="PENDING", executor_id=self._worker, load_input=False, load_output=False
        )
        return {row.workflow_id: row.dequeued_at for row in rows}

    def _requeue(self, job: str) -> None:
        # The engine's own recovery, in one statement. Its public resume would also bring back a cancelled job.
        self._client._sys_db.reenqueue_for_recovery(job, [self._worker], QUEUE)


def first_line(error: Exception) -> str:
    """What a database has to say, without the statement that follows."""
    return str(error).partition("\n")[0]
