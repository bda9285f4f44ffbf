"""The queue of fine-tuning jobs: submit, find, list, cancel and resume."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from contract.errors import IdempotencyConflict, JobNotCancellable, JobNotFound, JobNotResumable
from contract.job_events import Cancelled, Data, Resumed
from contract.job_spec import JobSpec
from service.fine_tuning.client import JobClient
from service.fine_tuning.database import JobDatabase
from service.fine_tuning.heartbeat import is_lost
from service.fine_tuning.history import Histories
from service.fine_tuning.job import CANCELLED, ENDED, FAILED, RUNNING, WAITING, Job, JobRow, Status, job_from_row

_PAGE = 100


class JobQueue:
    """The jobs in the database at `url`, with their folders under `folder`; a worker runs them.

    Every method raises `JobsUnavailable` within seconds where the database cannot be reached or is locked.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._database = JobDatabase(url)
        self.histories = Histories(folder)

    async def submit(self, spec: JobSpec) -> Job:
        """Put a job into the queue; a job of this id that came from the same request is returned as it is.

        `IdempotencyConflict` where the job of this id came from another request.
        """
        await self._database.call(lambda client: client.enqueue(spec))
        job = await self.get(spec.id)
        check_same_request(job, spec.request_sha256)
        return job

    async def find(self, identity: str) -> Job | None:
        """The job of this id; None where there is none."""
        return await self._database.call(lambda client: next(iter(self._read(client, [identity])), None))

    async def get(self, identity: str) -> Job:
        """The job of this id; `JobNotFound`."""
        job = await self.find(identity)
        if job is None:
            raise _not_found(identity)
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
        """At most `limit` jobs, newest first, starting behind the job `after`, and whether there are more.

        `metadata` selects the jobs that carry all of these pairs; an empty one selects the jobs that carry none.
        `JobNotFound` for an unknown `after`.
        """

        def read(client: JobClient) -> list[Job]:
            found: list[Job] = []
            last = after
            while len(found) <= limit:
                size = limit + 1 if metadata is None else max(_PAGE, limit + 1)
                ids = client.queries.ids(after=last, status=status, oldest_first=oldest_first, limit=size)
                found += [job for job in self._read(client, ids) if _carries(job, metadata)]
                if len(ids) < size:
                    break
                last = ids[-1]
            return found

        jobs = await self._database.call(read)
        return jobs[:limit], len(jobs) > limit

    async def cancel(self, identity: str) -> Job:
        """Take a job out of the queue, or have its worker stop it; `JobNotCancellable` for a job that has ended."""

        def cancel(client: JobClient) -> None:
            _check_cancellable(_row(client, identity))
            client.cancel(identity)
            if (row := _row(client, identity)).state != CANCELLED:  # it ended in between
                _check_cancellable(row)

        await self._database.call(cancel)
        return await self._after(identity, "The job was cancelled.", Cancelled())

    async def resume(self, identity: str) -> Job:
        """Put a job that was cancelled, has failed, or lost its worker back into the queue.

        It continues from its last saved state. `JobNotResumable` for every other job.
        """

        def resume(client: JobClient) -> None:
            row = _row(client, identity)
            if row.state == FAILED:
                client.retry(identity)
            elif row.status in ("cancelled", "failed") or (row.state == RUNNING and self._is_lost(client, identity)):
                client.requeue(identity)
            else:
                raise JobNotResumable(f"job {identity!r} {_in_words(row.status)}", param="id")

        await self._database.call(resume)
        return await self._after(identity, "The job was resumed.", Resumed())

    async def counts(self) -> Mapping[str, int] | None:
        """How many jobs have each status, a few seconds old at most; None while the database does not answer."""
        return await self._database.counts()

    async def close(self) -> None:
        """Release the database."""
        await self._database.close()

    async def _after(self, identity: str, message: str, data: Data) -> Job:
        """The job after a change that an event records."""
        await asyncio.to_thread(self.histories.add, identity, message, data)
        return await self.get(identity)

    def _read(self, client: JobClient, ids: list[str]) -> list[Job]:
        """The jobs of these ids, in this order, without those that do not exist or cannot be read."""
        rows = client.rows(ids)
        places = client.queries.places() if any(row.state in WAITING for row in rows.values()) else {}
        jobs = [
            job_from_row(rows[identity], self.histories.read(identity), places.get(identity))
            for identity in ids
            if identity in rows
        ]
        return [job for job in jobs if job is not None]

    def _is_lost(self, client: JobClient, identity: str) -> bool:
        return is_lost(self.histories.folder(identity), client.queries.seconds_since_taken(identity))


def check_same_request(job: Job, request_sha256: str) -> None:
    """`IdempotencyConflict` where the job came from another request."""
    if job.spec.request_sha256 != request_sha256:
        raise IdempotencyConflict(
            "this Idempotency-Key was already used with a different body", param="Idempotency-Key"
        )


def _row(client: JobClient, identity: str) -> JobRow:
    row = client.row(identity)
    if row is None:
        raise _not_found(identity)
    return row


def _not_found(identity: str) -> JobNotFound:
    return JobNotFound(f"there is no fine-tuning job {identity!r}", param="id")


def _check_cancellable(row: JobRow) -> None:
    if row.status in ENDED:
        raise JobNotCancellable(f"job {row.id!r} {_in_words(row.status)} already", param="id")


def _carries(job: Job, metadata: Mapping[str, str] | None) -> bool:
    if metadata is None:
        return True
    return metadata.items() <= job.spec.metadata.items() if metadata else not job.spec.metadata


def _in_words(status: Status) -> str:
    words = {"queued": "is in the queue", "running": "is running", "cancelled": "was cancelled"}
    return words.get(status, f"has {status}")
