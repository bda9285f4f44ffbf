"""The queue of fine-tuning jobs: submit, find, list, cancel and resume."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.errors import (
    IdempotencyConflict,
    InsufficientStorage,
    JobNotCancellable,
    JobNotDeletable,
    JobNotFound,
    JobNotResumable,
    Overloaded,
)
from contract.job_events import Cancelled, Data, Resumed
from contract.job_spec import JobSpec
from service.fine_tuning.client import JobClient
from service.fine_tuning.database import JobDatabase
from service.fine_tuning.heartbeat import is_lost
from service.fine_tuning.history import Histories
from service.fine_tuning.job import (
    CANCELLED,
    ENDED,
    FAILED,
    RUNNING,
    STATUSES,
    WAITING,
    Job,
    JobRow,
    Status,
    job_from_row,
)
from service.fine_tuning.places import Places
from service.fine_tuning.removal import remove, sweep

_AT_ONCE = 100  # jobs of which the age is looked up together
PAGE_BYTES = 512 * 1024


@dataclass(frozen=True)
class JobLimits:
    """How many jobs may wait, and how many are kept, ended ones included."""

    queued: int = 1000
    kept: int = 10_000


class JobQueue:
    """The jobs in the database at `url`, with their folders under `folder`; a worker runs them.

    Every method raises `JobsUnavailable` within seconds where the database cannot be reached or is locked.
    """

    def __init__(self, url: str, folder: Path, limits: JobLimits = JobLimits()) -> None:
        self._database = JobDatabase(url)
        self._limits = limits
        self._places = Places()
        self.histories = Histories(folder)

    async def submit(self, spec: JobSpec) -> Job:
        """Put a job into the queue; a job of this id that came from the same request is returned as it is.

        `IdempotencyConflict` where the job of this id came from another request, `Overloaded` or `InsufficientStorage`
        where there are too many jobs.
        """

        def submit(client: JobClient) -> None:
            if client.queries.state(spec.id) is None:
                self._check_room(client)
                client.enqueue(spec)

        await self._database.call(submit)
        self._places.forget()
        job = await self.get(spec.id)
        check_same_request(job, spec.request_sha256)
        return job

    async def find(self, identity: str) -> Job | None:
        """The job of this id; None where there is none."""

        def find(client: JobClient) -> Job | None:
            row = client.queries.row(identity)
            return None if row is None else self._job(client, row)

        return await self._database.call(find)

    async def get(self, identity: str) -> Job:
        """The job of this id; `JobNotFound`."""
        job = await self.find(identity)
        if job is None:
            raise _not_found(identity)
        return job

    async def find_all(self, ids: Sequence[str]) -> dict[str, Job]:
        """The jobs of these ids by id, without those that do not exist; their specifications come without labels."""

        def find(client: JobClient) -> dict[str, Job]:
            jobs = {identity: self._job(client, row) for identity, row in client.queries.summaries(ids).items()}
            return {identity: job for identity, job in jobs.items() if job is not None}

        return await self._database.call(find)

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

        `metadata` selects the jobs that carry all of these pairs; an empty one selects the jobs that carry none. The
        specifications come without labels. A page ends early rather than hold more than about `PAGE_BYTES`.
        `JobNotFound` for an unknown `after`.
        """

        def read(client: JobClient) -> tuple[list[Job], bool]:
            found: list[Job] = []
            last, size = after, 0
            while True:
                rows = client.queries.page(
                    after=last, status=status, metadata=metadata, oldest_first=oldest_first, limit=limit + 1
                )
                for row in rows:
                    if (job := self._job(client, row)) is not None:
                        size += row.size
                        if found and (len(found) == limit or size > PAGE_BYTES):
                            return found, True
                        found.append(job)
                if len(rows) <= limit:
                    return found, False
                last = rows[-1].id

        return await self._database.call(read)

    async def cancel(self, identity: str) -> Job:
        """Take a job out of the queue, or have its worker stop it; `JobNotCancellable` for a job that has ended."""

        def cancel(client: JobClient) -> None:
            _check_cancellable(identity, _state(client, identity))
            client.cancel(identity)
            if (state := _state(client, identity)) != CANCELLED:  # it ended in between
                _check_cancellable(identity, state)

        await self._database.call(cancel)
        return await self._after(identity, "The job was cancelled.", Cancelled())

    async def resume(self, identity: str) -> Job:
        """Put a job that was cancelled, has failed, or lost its worker back into the queue.

        It continues from its last saved state. `JobNotResumable` for every other job, `Overloaded` where too many jobs
        wait.
        """

        def resume(client: JobClient) -> None:
            state = _state(client, identity)
            status = STATUSES[state]
            if status not in ("cancelled", "failed") and not (state == RUNNING and self._is_lost(client, identity)):
                raise JobNotResumable(f"job {identity!r} {_in_words(status)}", param="id")
            self._check_room(client, more=0)
            if state == FAILED:
                client.retry(identity)
            else:
                client.requeue(identity)

        await self._database.call(resume)
        return await self._after(identity, "The job was resumed.", Resumed())

    async def delete(self, identity: str) -> None:
        """Delete an ended job with its events; `JobNotDeletable` for a job that has not ended."""

        def delete(client: JobClient) -> None:
            _state(client, identity)
            remove(client.queries, self.histories.folder(identity), identity)

        await self._database.call(delete)
        self.histories.forget(identity)

    async def delete_older(self, days: float) -> None:
        """Delete the jobs that ended more than `days` ago."""
        await asyncio.to_thread(sweep, self.histories.root)
        kept: set[str] = set()

        def old(client: JobClient) -> list[str]:
            return client.queries.ended_before(days, _AT_ONCE + len(kept))

        while found := set(await self._database.call(old)) - kept:
            for identity in found:
                try:
                    await self.delete(identity)
                except (JobNotFound, JobNotDeletable):
                    kept.add(identity)

    async def counts(self) -> Mapping[str, int] | None:
        """How many jobs have each status, a few seconds old at most; None while the database does not answer."""
        return await self._database.counts()

    async def close(self) -> None:
        """Release the database."""
        await self._database.close()

    async def _after(self, identity: str, message: str, data: Data) -> Job:
        """The job after a change that an event records."""
        self._places.forget()
        await asyncio.to_thread(self.histories.add, identity, message, data)
        return await self.get(identity)

    def _job(self, client: JobClient, row: JobRow) -> Job | None:
        """The job of a row; None for a row that cannot be read."""
        places = self._places.read(client.queries) if row.state in WAITING else {}
        return job_from_row(row, self.histories.read(row.id), places.get(row.id))

    def _check_room(self, client: JobClient, more: int = 1) -> None:
        """`Overloaded` where no job may join the queue, `InsufficientStorage` where no more jobs are kept."""
        counts = client.queries.counts()
        if counts["queued"] >= self._limits.queued:
            raise Overloaded(f"{self._limits.queued} jobs are queued already; try again later")
        if sum(counts.values()) + more > self._limits.kept:
            raise InsufficientStorage(f"{self._limits.kept} jobs are kept already; delete some that have ended")

    def _is_lost(self, client: JobClient, identity: str) -> bool:
        return is_lost(self.histories.folder(identity), client.queries.seconds_since_taken(identity))


def check_same_request(job: Job, request_sha256: str) -> None:
    """`IdempotencyConflict` where the job came from another request."""
    if job.spec.request_sha256 != request_sha256:
        raise IdempotencyConflict(
            "this Idempotency-Key was already used with a different body", param="Idempotency-Key"
        )


def _state(client: JobClient, identity: str) -> str:
    state = client.queries.state(identity)
    if state is None:
        raise _not_found(identity)
    return state


def _not_found(identity: str) -> JobNotFound:
    return JobNotFound(f"there is no fine-tuning job {identity!r}", param="id")


def _check_cancellable(identity: str, state: str) -> None:
    status = STATUSES[state]
    if status in ENDED:
        raise JobNotCancellable(f"job {identity!r} {_in_words(status)} already", param="id")


def _in_words(status: Status) -> str:
    words = {"queued": "is in the queue", "running": "is running", "cancelled": "was cancelled"}
    return words.get(status, f"has {status}")
