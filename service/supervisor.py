"""Several processes on one port (`SNN_WORKERS`): a supervisor that starts them and replaces those that die.

The supervisor holds the listening sockets, and answers nothing itself. The processes share them, so a connection that
no process has accepted yet outlives every one of them. uvicorn's own supervisor can only run uvicorn's own server,
without the bounds of `service/http`.
"""

import ctypes
import logging
import multiprocessing
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from multiprocessing.context import SpawnProcess
from pathlib import Path
from socket import socket

from prometheus_client.multiprocess import mark_process_dead

from contract.settings import Settings
from service.http.listening import listen
from service.share import share_of
from service.telemetry import logs
from service.telemetry.metrics import FOLDER_VARIABLE

RETRY_SECONDS = 1.0  # between two starts of a process that ends at once
LAST_SECONDS = 15.0  # after the grace; a process ends by itself within 9
_PR_SET_PDEATHSIG = 1

_context = multiprocessing.get_context("spawn")

log = logging.getLogger(__name__)


class Supervisor:
    """Runs `settings.workers` processes on `sockets` until a signal, and passes the signal on to them."""

    def __init__(self, settings: Settings, sockets: list[socket]) -> None:
        self._settings = settings
        self._sockets = sockets
        self._processes: list[SpawnProcess] = []
        self._started: dict[SpawnProcess, float] = {}

    def run(self) -> int:
        """Return the exit status once all processes have ended: 0, or 1 if one could not stop in order."""
        signals = _signal_pipe()
        for _ in range(self._settings.workers):
            self._start()
        while signals not in select.select([signals, *(each.sentinel for each in self._processes)], [], [])[0]:
            for process in [each for each in self._processes if each.exitcode is not None]:
                self._replace(process)
        return self._stop(signals)

    def _start(self) -> None:
        process = _context.Process(target=_work, args=(self._settings, self._sockets, os.getpid()))
        process.start()
        self._processes.append(process)
        self._started[process] = time.monotonic()

    def _replace(self, process: SpawnProcess) -> None:
        self._processes.remove(process)
        mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
        lived = time.monotonic() - self._started.pop(process)
        log.error("process %s ended with status %s; another one starts", process.pid, process.exitcode)
        time.sleep(max(0.0, RETRY_SECONDS - lived))
        self._start()

    def _stop(self, signals: int) -> int:
        """Pass on this signal, and those that follow, until all processes have ended."""
        for each in self._sockets:
            each.close()  # else clients could still connect when no process accepts them any more
        ends = time.monotonic() + self._settings.shutdown_grace_seconds + LAST_SECONDS
        running = list(self._processes)
        while running and time.monotonic() < ends:
            ready, _, _ = select.select([signals, *(each.sentinel for each in running)], [], [], 1.0)
            if signals in ready:
                for number in os.read(signals, 64):
                    for process in running:
                        with suppress(ProcessLookupError):
                            os.kill(process.pid or 0, number)
            running = [each for each in running if each.exitcode is None]
        for process in running:
            process.kill()
            process.join()
        return max((int(each.exitcode != 0) for each in self._processes), default=0)


def supervise(settings: Settings) -> int:
    """Serve with `settings.workers` processes until a signal; returns the exit status."""
    logs.configure(settings.log_level, settings.log_format)
    try:
        sockets = listen(settings.host, settings.port)
    except OSError as error:
        log.error("cannot listen on %s port %d: %s", settings.host, settings.port, error.strerror or error)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="stl-snn-metrics-"))
    os.environ[FOLDER_VARIABLE] = str(folder)
    try:
        return Supervisor(settings, sockets).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _work(settings: Settings, sockets: list[socket], parent: int) -> None:
    """One of the processes, which ends with the supervisor."""
    os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the supervisor, which passes it on
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    from service.serve import serve  # which imports what the supervisor does not need

    if os.getppid() == parent:
        sys.exit(serve(share_of(settings), sockets))


def _signal_pipe() -> int:
    """A pipe to which SIGTERM and SIGINT write their numbers."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return read
