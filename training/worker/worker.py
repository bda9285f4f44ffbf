"""The fine-tuning worker (`python -m training worker`): takes jobs from the queue, one at a time.

A job runs as a child process. The row in the jobs database is the only truth about it: the worker watches it while
the child runs, and stops the child when the row says that the job is no longer this worker's. What was under way when
a worker was killed goes on when a worker with the same id starts again; a worker that is told to leave gives its job
back.
"""

import asyncio
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from dbos import DBOS, DBOSPortableJSONSerializer, PortableWorkflowError, WorkflowSerializationFormat
from filelock import FileLock, Timeout
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from contract.job_spec import (
    APPLICATION,
    APPLICATION_VERSION,
    HEARTBEAT_FILE,
    HEARTBEAT_SECONDS,
    JOBS_FOLDER,
    LOCKS_FOLDER,
    PARENT_VARIABLE,
    QUEUE,
    WORKFLOW,
    JobSpec,
)
from contract.settings import Settings
from training.worker.attempts import Attempts, JobFailed
from training.worker.claims import Claims, first_line
from training.worker.heartbeat import beat, file_name, health_file, keep_beating, worker_id

QUEUE_POLL_SECONDS = 0.5
CONNECT_AGAIN_SECONDS = 2.0
MAX_RECOVERIES = 50  # of one job, by workers that were killed or told to leave

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
        self._claims = Claims(settings.jobs_database, name)
        self._jobs: set[str] = set()
        self._signalled = threading.Event()
        self._stopping = threading.Event()
        self._idle = threading.Event()
        self._idle.set()

    def run(self) -> None:
        """Work until a signal; a second Ctrl-C ends the process at once, and its child with it."""
        signals = _heard_signals()
        launch = threading.Thread(target=self._launch, daemon=True)  # which may wait for the database
        launch.start()
        threading.Thread(target=self._claims.take_up_left_jobs, args=(self._jobs, self._signalled), daemon=True).start()
        while not self._signalled.is_set():
            beat(health_file(self._settings), self._name)
            if select.select([signals], [], [], HEARTBEAT_SECONDS)[0]:
                self._signalled.set()
        self._stopping.set()
        log.info("told to leave%s", "" if self._idle.is_set() else ": the running job is being stopped")
        self._idle.wait(self._settings.worker_grace_seconds + 5)
        if not launch.is_alive():
            _within(10, DBOS.destroy)
            _within(5, self._claims.give_back)
        health_file(self._settings).unlink(missing_ok=True)
        log.info("left")

    def _launch(self) -> None:
        DBOS.workflow(
            name=WORKFLOW,
            max_recovery_attempts=MAX_RECOVERIES,
            serialization_type=WorkflowSerializationFormat.PORTABLE,
        )(self._workflow())
        told = ""
        while not self._signalled.is_set():
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
                if told != (told := first_line(error)):
                    log.error("the jobs database does not answer, waiting for it: %s", told)
                DBOS.destroy()
                self._signalled.wait(CONNECT_AGAIN_SECONDS)

    def _workflow(self) -> Callable[[dict[str, Any]], Any]:
        async def fine_tune(given: dict[str, Any]) -> dict[str, str]:
            return await self._fine_tune(given)

        return fine_tune

    async def _fine_tune(self, given: dict[str, Any]) -> dict[str, str]:
        """One job, from its start or from where it was left; what it returns or raises is the job's outcome."""
        try:
            spec = JobSpec.model_validate(given)
        except ValidationError as error:
            raise _failure(JobFailed(f"this worker does not understand the job: {first_line(error)}")) from error
        folder = self._data / JOBS_FOLDER / file_name(spec.id)
        attempts = Attempts(spec, folder, self._environment, self._settings.worker_grace_seconds)
        lost = asyncio.create_task(self._claims.until_lost(spec.id))
        leaving = asyncio.create_task(self._until_stopping())
        beating = asyncio.create_task(keep_beating(folder / HEARTBEAT_FILE, self._name))
        self._jobs.add(spec.id)
        self._idle.clear()
        try:
            try:
                await asyncio.sleep(0)  # in which `leaving` ends where it is so already
                model = await attempts.run(lost, leaving)
            finally:
                self._idle.set()
            if model is not None:
                await self._claims.found(spec.id)  # the engine gives up an outcome that it cannot write at once
                return {"model": model}
            if not lost.done():
                await asyncio.Event().wait()  # holds the place in the queue until the engine is shut down
            raise asyncio.CancelledError  # an outcome is not for this worker to write
        except JobFailed as failed:
            await self._claims.found(spec.id)
            raise _failure(failed) from failed
        finally:
            for watch in (lost, leaving, beating):
                watch.cancel()
            self._jobs.discard(spec.id)

    async def _until_stopping(self) -> None:
        while not self._stopping.is_set():
            await asyncio.sleep(0.1)


def _failure(failed: JobFailed) -> PortableWorkflowError:
    return PortableWorkflowError(failed.message, name="JobFailed", code=failed.code, data={"param": failed.param})


def _heard_signals() -> int:
    """A pipe to which SIGTERM and SIGINT write a byte; a second SIGINT ends the process.

    A handler that set an event could run while its own lock is held, by a signal just before it, and wait for ever.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: signal.signal(signal.SIGINT, signal.SIG_DFL))
    return read


def _within(seconds: float, call: Callable[[], None]) -> None:
    """Run what needs the database, and leave it alone when it takes longer."""

    def attempt() -> None:
        try:
            call()
        except SQLAlchemyError as error:
            log.warning("the jobs database does not answer: %s", first_line(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)


def _configure_logs(level: str) -> None:
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)
    engine = logging.getLogger("dbos")
    engine.setLevel(_engine_level(level))
    engine.addHandler(logging.NullHandler())  # else it adds one of its own, in another format
    engine.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], _TOLD_BY_THE_WORKER)))


def _engine_level(level: str) -> str:
    """The engine warns twice a second of a database that does not answer, which the worker says once."""
    return "DEBUG" if level == "debug" else "ERROR"
