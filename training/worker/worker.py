"""The fine-tuning worker (`python -m training worker`): takes jobs from the queue and runs them one at a time.

A job runs as a child process. The job's row in the jobs database is the only truth about it: the worker watches the row
while the child runs, and stops the child when the row says that the job is no longer this worker's. A job whose worker
was killed continues when a worker with the same id starts; a worker that is asked to stop gives its job back.
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

from filelock import FileLock, Timeout
from pydantic import ValidationError

from contract.errors import Failure, ServiceError
from contract.job_spec import (
    HEARTBEAT_FILE,
    HEARTBEAT_SECONDS,
    JOBS_FOLDER,
    LOCKS_FOLDER,
    PARENT_VARIABLE,
    JobSpec,
)
from contract.settings import Settings
from training.worker import engine
from training.worker.attempts import Attempts, JobFailed
from training.worker.child import Launch, LocalChild
from training.worker.claims import Claims
from training.worker.heartbeat import beat, file_name, health_file, keep_beating, worker_id

RECONNECT_SECONDS = 2.0

log = logging.getLogger(__name__)


def work(settings: Settings) -> int:
    """Run jobs until SIGTERM or SIGINT; returns the exit status, 2 where a worker of this id is already running."""
    name, data = worker_id(settings), settings.data_dir.absolute()
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    engine.configure_logs(settings.log_level)
    for folder in (JOBS_FOLDER, LOCKS_FOLDER):
        (data / folder).mkdir(parents=True, exist_ok=True)
    lock = FileLock(data / LOCKS_FOLDER / f"worker-{file_name(name)}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        sys.stderr.write(f"a worker {name!r} is running already: give this one another SNN_WORKER_ID\n")
        return 2
    Worker(settings, name, _launcher(settings)).run()
    logging.shutdown()
    os._exit(0)  # an ordinary exit would wait for threads that wait for a database


class Worker:
    """A process that runs jobs. The jobs engine calls `_fine_tune` on an event loop in a thread that it keeps."""

    def __init__(self, settings: Settings, name: str, start_child: Launch = LocalChild.start) -> None:
        self._start_child = start_child
        self._name = name
        self._settings = settings
        self._data = settings.data_dir.absolute()
        self._environment = os.environ | {
            "SNN_DATA_DIR": str(self._data),
            "SNN_MODEL_STORE": os.pathsep.join(str(folder.absolute()) for folder in settings.model_store),
            PARENT_VARIABLE: str(os.getpid()),
        }
        self._claims = Claims(engine.JobsClient(settings.jobs_database), name)
        self._jobs: set[str] = set()
        self._signalled = threading.Event()
        self._stopping = threading.Event()
        self._idle = threading.Event()
        self._idle.set()

    def run(self) -> None:
        """Work until a signal; a second Ctrl-C ends the process at once, and its child with it."""
        signals = _signal_pipe()
        launch = threading.Thread(target=self._launch, daemon=True)  # which may wait for the database
        launch.start()
        requeue = threading.Thread(target=self._claims.requeue_orphans, args=(self._jobs, self._signalled), daemon=True)
        requeue.start()
        while not self._signalled.is_set():
            beat(health_file(self._settings), self._name)
            if select.select([signals], [], [], HEARTBEAT_SECONDS)[0]:
                self._signalled.set()
        self._stopping.set()
        log.info("asked to stop%s", "" if self._idle.is_set() else "; stopping the running job")
        self._idle.wait(self._settings.worker_grace_seconds + 5)
        if not launch.is_alive():
            _within(10, engine.shut_down)
            _within(5, self._claims.give_back)
        health_file(self._settings).unlink(missing_ok=True)
        log.info("stopped")

    def _launch(self) -> None:
        """Start the engine, however long its database takes to answer."""
        engine.register(self._fine_tune)
        reported = ""
        while not self._signalled.is_set():
            try:
                engine.launch(self._settings.jobs_database, self._name, self._settings.log_level)
            except engine.DatabaseError as error:
                if reported != (reported := engine.first_line(error)):
                    log.error("the jobs database does not answer, waiting for it: %s", reported)
                self._signalled.wait(RECONNECT_SECONDS)
            else:
                log.info("worker %s waits for jobs", self._name)
                return

    async def _fine_tune(self, specification: dict[str, Any]) -> None:
        """One job, from its start or from where it was left. Returning ends it as succeeded, raising as failed."""
        try:
            spec = JobSpec.model_validate(specification)
        except ValidationError as error:
            message = f"this worker does not understand the job: {engine.first_line(error)}"
            raise engine.as_workflow_error(Failure(ServiceError.code, message)) from error
        folder = self._data / JOBS_FOLDER / file_name(spec.id)
        attempts = Attempts(
            spec,
            folder,
            self._environment,
            grace_seconds=self._settings.worker_grace_seconds,
            stall_seconds=self._settings.worker_stall_seconds,
            train_seconds=self._settings.max_job_hours * 3600,
            launch=self._start_child,
        )
        lost = asyncio.create_task(self._claims.until_lost(spec.id))
        stopping = asyncio.create_task(self._until_stopping())
        beating = asyncio.create_task(keep_beating(folder / HEARTBEAT_FILE, self._name))
        self._jobs.add(spec.id)
        self._idle.clear()
        try:
            try:
                await asyncio.sleep(0)  # lets `stopping` end where the worker is stopping already
                has_published = await attempts.run(lost, stopping)
            finally:
                self._idle.set()
            if has_published:
                await self._claims.until_answered(spec.id)  # the engine drops an outcome that it cannot write at once
                return
            if not lost.done():
                await asyncio.Event().wait()  # holds the place in the queue until the engine is shut down
            raise asyncio.CancelledError  # the outcome is not this worker's to write
        except JobFailed as failed:
            await self._claims.until_answered(spec.id)
            raise engine.as_workflow_error(failed.failure) from failed
        finally:
            for watch in (lost, stopping, beating):
                watch.cancel()
            self._jobs.discard(spec.id)

    async def _until_stopping(self) -> None:
        while not self._stopping.is_set():
            await asyncio.sleep(0.1)


def _launcher(settings: Settings) -> Launch:
    """What starts the processes of jobs, as the settings say."""
    if settings.jobs_launcher == "process":
        return LocalChild.start
    from training.worker.ray_child import ray_launcher

    return ray_launcher(settings)


def _signal_pipe() -> int:
    """A pipe to which SIGTERM and SIGINT write a byte; a second SIGINT ends the process.

    A handler that sets an event can interrupt the code that holds the event's lock, and would then wait for ever.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: signal.signal(signal.SIGINT, signal.SIG_DFL))
    return read


def _within(seconds: float, call: Callable[[], None]) -> None:
    """Call what needs the database, and move on when it takes longer than this."""

    def attempt() -> None:
        try:
            call()
        except engine.DatabaseError as error:
            log.warning("the jobs database does not answer: %s", engine.first_line(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
