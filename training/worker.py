"""The fine-tuning worker (`python -m training worker`): takes jobs from the queue, one at a time.

A job runs as a child process. The row in the jobs database is the only truth about it: the worker watches it while
the child runs, and stops the child when the row says that the job is no longer this worker's. What was under way when
a worker was killed goes on when a worker with the same id starts again; a worker that is told to leave gives its job
back.
"""

import asyncio
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbos import (
    DBOS,
    DBOSClient,
    DBOSPortableJSONSerializer,
    PortableWorkflowError,
    WorkflowSerializationFormat,
    WorkflowStatus,
)
from filelock import FileLock, Timeout
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from service.job_spec import (
    APPLICATION,
    APPLICATION_VERSION,
    HEARTBEAT_FILE,
    HEARTBEAT_SECONDS,
    JOBS_FOLDER,
    LOST_AFTER_SECONDS,
    PARENT_VARIABLE,
    QUEUE,
    SPEC_FILE,
    WORKFLOW,
    JobSpec,
    append_event,
)
from service.settings import Settings
from training.child import BUSY, Child, published
from training.heartbeat import beat, file_name, health_file, worker_id

LOCKS_FOLDER = "locks"
QUEUE_POLL_SECONDS = 0.5
WATCH_SECONDS = 0.5
CONNECT_AGAIN_SECONDS = 2.0
DEATHS_WITHOUT_PROGRESS = 3
TAKE_UPS = 50  # of one job, by workers that were killed or told to leave
BUSY_SECONDS = 1.0

_TOLD_BY_THE_WORKER = (PortableWorkflowError, SQLAlchemyError)  # in a line, without a trace of the engine's calls

log = logging.getLogger(__name__)


def work(settings: Settings) -> int:
    """Be the worker until told to leave by SIGTERM or SIGINT; returns the exit status, 2 when there is one already."""
    name, data = worker_id(settings), settings.data_dir.absolute()
    _configure_logs(settings.log_level)
    for folder in (JOBS_FOLDER, LOCKS_FOLDER):
        (data / folder).mkdir(parents=True, exist_ok=True)
    lock = FileLock(data / LOCKS_FOLDER / f"worker-{file_name(name)}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        sys.stderr.write(f"a worker {name!r} is running already: give another one an SNN_WORKER_ID of its own\n")
        return 2
    Worker(settings, name).run()
    logging.shutdown()
    os._exit(0)  # an ordinary exit would wait for threads that wait for a database


class Worker:
    """A process that runs jobs. The jobs engine calls `_fine_tune` on an event loop in a thread that it keeps."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._name = name
        self._settings = settings
        self._data = settings.data_dir.absolute()
        self._environment = os.environ | {
            "SNN_DATA_DIR": str(self._data),
            "SNN_MODEL_STORE": str(settings.model_store.absolute()),
            PARENT_VARIABLE: str(os.getpid()),
        }
        # Beside the engine, whose own calls retry for ever and would be recorded as steps of the workflow.
        self._client = DBOSClient(
            system_database_url=settings.jobs_database,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )
        self._jobs: set[str] = set()
        self._told = threading.Event()
        self._leaving = threading.Event()
        self._childless = threading.Event()
        self._childless.set()

    def run(self) -> None:
        """Work until a signal; a second Ctrl-C ends the process at once, and its child with it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        launch = threading.Thread(target=self._launch, daemon=True)  # which may wait for the database
        launch.start()
        threading.Thread(target=self._take_up_left_jobs, daemon=True).start()
        while not self._told.is_set():
            beat(health_file(self._settings), self._name)
            self._told.wait(HEARTBEAT_SECONDS)
        self._leaving.set()
        log.info("told to leave%s", "" if self._childless.is_set() else ": the running job is being stopped")
        self._childless.wait(self._settings.worker_grace_seconds + 5)
        if not launch.is_alive():
            _within(10, DBOS.destroy)
            _within(5, self._give_back)
        health_file(self._settings).unlink(missing_ok=True)
        log.info("left")

    def _on_signal(self, number: int, frame: object) -> None:
        if number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
        self._told.set()

    def _launch(self) -> None:
        DBOS.workflow(
            name=WORKFLOW,
            max_recovery_attempts=TAKE_UPS,
            serialization_type=WorkflowSerializationFormat.PORTABLE,
        )(self._workflow())
        told = ""
        while not self._told.is_set():
            try:
                DBOS(
                    config={
                        "name": APPLICATION,
                        "system_database_url": self._settings.jobs_database,
                        "application_version": APPLICATION_VERSION,
                        "executor_id": self._name,
                        "serializer": DBOSPortableJSONSerializer(),
                        "log_level": _engine_level(self._settings.log_level),
                    }
                )
                DBOS.launch()
                DBOS.register_queue(
                    QUEUE, worker_concurrency=1, polling_interval_sec=QUEUE_POLL_SECONDS, on_conflict="always_update"
                )
                log.info("worker %s waits for jobs", self._name)
                return
            except SQLAlchemyError as error:
                if told != (told := _first_line(error)):
                    log.error("the jobs database does not answer, waiting for it: %s", told)
                DBOS.destroy()
                self._told.wait(CONNECT_AGAIN_SECONDS)

    def _workflow(self) -> Callable[[dict[str, Any]], Any]:
        async def fine_tune(given: dict[str, Any]) -> dict[str, str]:
            return await self._fine_tune(given)

        return fine_tune

    async def _fine_tune(self, given: dict[str, Any]) -> dict[str, str]:
        """One job, from its start or from where it was left; what it returns or raises is the job's outcome."""
        try:
            spec = JobSpec.model_validate(given)
        except ValidationError as error:
            raise _failure(f"this worker does not understand the job: {_first_line(error)}") from error
        self._jobs.add(spec.id)
        watches = [asyncio.create_task(self._until_lost(spec.id)), asyncio.create_task(self._until_leaving())]
        watches.append(asyncio.create_task(self._beat(self._folder(spec.id))))
        try:
            return await self._attempts(spec, *watches[:2])
        finally:
            for watch in watches:
                watch.cancel()
            self._jobs.discard(spec.id)

    async def _attempts(self, spec: JobSpec, lost: asyncio.Task[None], leaving: asyncio.Task[None]) -> dict[str, str]:
        folder, deaths = self._folder(spec.id), 0
        _prepare(folder, spec)
        while True:
            if self._leaving.is_set():
                await asyncio.Event().wait()  # holds the place in the queue until the engine is shut down
            self._childless.clear()
            try:
                child = await Child.start(folder, self._environment)
                log.info("job %s runs as process %d", spec.id, child.pid)
                exited = asyncio.create_task(child.wait())
                try:
                    await asyncio.wait({exited, lost, leaving}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    status = await asyncio.shield(child.stop(self._settings.worker_grace_seconds))
            except OSError as error:
                raise _not_written(error) from error
            finally:
                self._childless.set()
            if lost.done():
                log.info("job %s is no longer this worker's", spec.id)
                raise asyncio.CancelledError  # an outcome is not for this worker to write
            if status == 0:
                await self._database(spec.id)
                return {"model": _published(folder)}
            if leaving.done():
                _tell(folder, "stopped: the worker is leaving", level="warn", data={"kind": "stopped"})
                continue
            if status == BUSY:  # the one before is still being stopped, by another worker
                await asyncio.sleep(BUSY_SECONDS)
                continue
            if not (number := _signal(status)):
                await self._database(spec.id)
                raise _why(child, status)
            deaths = 1 if child.made_progress() else deaths + 1
            data = {"kind": "killed", "signal": number}
            _tell(folder, f"killed by {signal.Signals(number).name}", level="warn", data=data)
            if deaths > DEATHS_WITHOUT_PROGRESS:
                await self._database(spec.id)
                raise _failure(f"killed {deaths} times in a row without finishing an epoch", code="killed")

    def _folder(self, job: str) -> Path:
        return self._data / JOBS_FOLDER / file_name(job)

    async def _until_lost(self, job: str) -> None:
        """Wait until the job is cancelled, or resumed for somebody else to take. A silent database changes nothing."""
        claim: int | None = None
        while True:
            row = await self._database(job)
            if row is None or row.status != "PENDING" or row.executor_id != self._name:
                return
            claim = claim or row.dequeued_at
            if row.dequeued_at != claim:
                return
            await asyncio.sleep(WATCH_SECONDS)

    async def _database(self, job: str) -> WorkflowStatus | None:
        """The job's row, once the database answers. The engine gives up an outcome that it cannot write at once."""
        answers = True
        while True:
            try:
                return await asyncio.to_thread(self._look, job)
            except SQLAlchemyError as error:
                if answers:
                    log.warning("the jobs database does not answer; job %s waits: %s", job, _first_line(error))
                answers = False
            await asyncio.sleep(WATCH_SECONDS)

    async def _until_leaving(self) -> None:
        while not self._leaving.is_set():
            await asyncio.sleep(0.1)

    async def _beat(self, folder: Path) -> None:
        while True:
            beat(folder / HEARTBEAT_FILE, self._name)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _look(self, job: str) -> WorkflowStatus | None:
        rows = self._client.list_workflows(workflow_ids=[job], load_input=False, load_output=False)
        return rows[0] if rows else None

    def _mine(self) -> dict[str, int | None]:
        """The jobs that the database has down as running here, and since when."""
        rows = self._client.list_workflows(
            status="PENDING", executor_id=self._name, load_input=False, load_output=False
        )
        return {row.workflow_id: row.dequeued_at for row in rows}

    def _give_back(self) -> None:
        """Put this worker's jobs back into the queue, for any worker, but for those that were cancelled meanwhile."""
        for job in self._mine():
            self._requeue(job)

    def _requeue(self, job: str) -> None:
        # The engine's own recovery, in one statement. Its public resume would also bring back a cancelled job.
        self._client._sys_db.reenqueue_for_recovery(job, [self._name], QUEUE)

    def _take_up_left_jobs(self) -> None:
        """Queue a job again that is down as running here and is not, as when its outcome could not be written."""
        seen: dict[str, int | None] = {}
        while not self._told.wait(LOST_AFTER_SECONDS):
            try:
                left = {job: since for job, since in self._mine().items() if job not in self._jobs}
                for job in left.keys() & seen.keys():
                    if left[job] == seen[job]:
                        log.warning("job %s was left without an outcome and is taken up again", job)
                        self._requeue(job)
                seen = left
            except SQLAlchemyError as error:
                log.debug("no look at the jobs: %s", _first_line(error))


def _prepare(folder: Path, spec: JobSpec) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{SPEC_FILE}"
        unfinished.write_text(spec.model_dump_json(indent=2) + "\n")
        unfinished.replace(folder / SPEC_FILE)
    except OSError as error:
        raise _not_written(error) from error


def _not_written(error: OSError) -> PortableWorkflowError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = "insufficient_storage" if full else "internal_error"
    return _failure(f"the job's folder cannot be used: {error.strerror}", code=code)


def _published(folder: Path) -> str:
    if (model := published(folder)) is None:
        raise _failure("the fine-tuning ended without a new version; its log is in the job's folder")
    return model


def _why(child: Child, status: int) -> PortableWorkflowError:
    event = child.why_failed()
    if event is None:
        return _failure(f"the fine-tuning ended with exit status {status}; its log is in the job's folder")
    return _failure(event.message, code=str(event.data.get("code") or "internal_error"), param=event.data.get("param"))


def _failure(message: str, *, code: str = "internal_error", param: str | None = None) -> PortableWorkflowError:
    return PortableWorkflowError(message, name="JobFailed", code=code, data={"param": param})


def _signal(status: int) -> int | None:
    """The signal that ended a child, or that it says has ended it."""
    if status < 0:
        return -status
    return status - 128 if status - 128 in (signal.SIGTERM, signal.SIGINT) else None


def _tell(folder: Path, message: str, **event: Any) -> None:
    log.info("job %s: %s", folder.name, message)
    try:
        append_event(folder, message, **event)
    except OSError as error:
        log.warning("an event of job %s was not written: %s", folder.name, error.strerror)


def _within(seconds: float, call: Callable[[], None]) -> None:
    """Run what needs the database, and leave it alone when it takes longer."""

    def attempt() -> None:
        try:
            call()
        except SQLAlchemyError as error:
            log.warning("the jobs database does not answer: %s", _first_line(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _configure_logs(level: str) -> None:
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)
    engine = logging.getLogger("dbos")
    engine.setLevel(_engine_level(level))
    engine.addHandler(logging.NullHandler())  # else it adds one of its own, in another format
    engine.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], _TOLD_BY_THE_WORKER)))


def _engine_level(level: str) -> str:
    """The engine warns twice a second of a database that does not answer, which the worker says once."""
    return "DEBUG" if level == "debug" else "ERROR"
