"""Which jobs this worker runs, according to the jobs database."""

import asyncio
import logging
import threading
from collections.abc import Collection

from contract.job_spec import LOST_AFTER_SECONDS
from training.worker.engine import Claim, DatabaseError, JobsClient, first_line

WATCH_SECONDS = 0.5

log = logging.getLogger(__name__)


class Claims:
    """The rows of the jobs that run, or ran last, on `worker`."""

    def __init__(self, client: JobsClient, worker: str) -> None:
        self._client = client
        self._worker = worker

    async def until_lost(self, job: str) -> None:
        """Wait until the job is cancelled, or resumed for another worker.

        While the database is unreachable, the claim stands.
        """
        since: int | None = None
        while True:
            claim = await self.until_answered(job)
            if claim is None or not claim.is_running or claim.worker != self._worker:
                return
            since = since or claim.since
            if claim.since != since:
                return
            await asyncio.sleep(WATCH_SECONDS)

    async def until_answered(self, job: str) -> Claim | None:
        """Who runs the job, once the database answers; None for a job that is not in it."""
        answers = True
        while True:
            try:
                return await asyncio.to_thread(self._client.claim, job)
            except DatabaseError as error:
                if answers:
                    log.warning("the jobs database does not answer; job %s waits: %s", job, first_line(error))
                answers = False
            await asyncio.sleep(WATCH_SECONDS)

    def give_back(self) -> None:
        """Put this worker's jobs back into the queue, for any worker, except those that were cancelled meanwhile."""
        for job in self._client.claimed_by(self._worker):
            self._client.requeue(job, self._worker)

    def requeue_orphans(self, running: Collection[str], stopping: threading.Event) -> None:
        """Until `stopping`, put jobs back into the queue that are claimed by this worker but not among those `running`.

        A job gets into that state when its outcome could not be written.
        """
        seen: dict[str, int | None] = {}
        while not stopping.wait(LOST_AFTER_SECONDS):
            try:
                claimed = self._client.claimed_by(self._worker)
                orphans = {job: since for job, since in claimed.items() if job not in running}
                for job in orphans.keys() & seen.keys():
                    if orphans[job] == seen[job]:
                        log.warning("job %s was left without an outcome and is queued again", job)
                        self._client.requeue(job, self._worker)
                seen = orphans
            except DatabaseError as error:
                log.debug("the jobs database does not answer: %s", first_line(error))
