"""The HTTP server and its graceful shutdown: report not ready, close the port, finish accepted requests."""

import asyncio
import gc
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from socket import socket
from types import FrameType

import uvicorn

from service.http.connections import Limits
from service.http.listening import ListeningServer
from service.http.overload import OverloadGate
from service.runtime import LAST_BATCH_SECONDS, Runtime

# After the grace, clients have this long to read their 503 before their connections are closed.
LAST_ANSWERS_SECONDS = 1.0
BEATS_PER_REPORT = 10
# Hundreds of requests and thousands of connections are alive under load, and each search for garbage visits them: with
# Python's own thresholds that takes a tenth of the time. Few cycles arise, and none holds a body.
GC_THRESHOLDS = (20_000, 20, 20)
LOADING_SECONDS = 60.0  # for the models of one of several processes, before it serves all the same
# What is not over this long after everything should be is abandoned.
_MARGIN_SECONDS = 3.0

log = logging.getLogger(__name__)


class Server(ListeningServer):
    """uvicorn with a graceful shutdown that ends.

    On SIGTERM, `/health/ready` turns 503 and answers ask their clients to close the connection, while everything is
    still served. `drain_seconds` later the port closes, and streams of live events end. What is not answered
    `grace_seconds` after the signal gets 503, and `LAST_ANSWERS_SECONDS` later all connections are closed. A second
    signal, and SIGINT, close the port at once.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        runtime: Callable[[], Runtime],
        *,
        limits: Limits,
        drain_seconds: float,
        grace_seconds: float,
        is_one_of_several: bool = False,
    ) -> None:
        self._gate = OverloadGate(runtime)
        super().__init__(config, limits, self._gate)
        self._runtime = runtime
        self._drain_seconds = drain_seconds
        self._grace_seconds = grace_seconds
        self._is_one_of_several = is_one_of_several
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends: float | None = None

    async def prepare(self) -> None:
        """Keep what exists by now out of garbage collection, which would otherwise pause every request for 70 ms.

        One of several processes first loads its models: the others answer meanwhile.
        """
        ends = time.monotonic() + LOADING_SECONDS
        while self._is_one_of_several and not (self.should_exit or self._runtime().registry.ready):
            if time.monotonic() > ends:
                break
            await asyncio.sleep(0.05)
        self._loop = asyncio.get_running_loop()
        self._runtime().metrics.refresh()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    def beat(self, lag: float) -> None:
        """Look after the connections, and report what was refused once a second."""
        super().beat(lag)
        self._gate.beat(lag)
        if self._beat_count % BEATS_PER_REPORT == 0:
            self._gate.report()
            self._runtime().metrics.refresh()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the shutdown; called by the signal."""
        if self._loop is None or self._ends is not None or sig != signal.SIGTERM:
            super().handle_exit(sig, frame)
            return
        self._ends = self._loop.time() + self._grace_seconds
        longest = self._grace_seconds + LAST_ANSWERS_SECONDS + LAST_BATCH_SECONDS + _MARGIN_SECONDS
        last_resort = threading.Timer(longest, _exit)
        last_resort.daemon = True
        last_resort.start()
        self._loop.call_soon_threadsafe(self._drain, sig)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Close the port, wait for the requests that are being answered, and stop the application."""
        loop = asyncio.get_running_loop()
        runtime = self._runtime()
        runtime.readiness.shutting_down = True
        runtime.live_streams.stop()
        log.info("the port closes; %d request(s) are being answered", len(self.server_state.tasks))
        ends = self._ends or loop.time() + self._grace_seconds
        runtime.predictor.admission.closes = ends
        timers = [
            loop.call_at(ends, runtime.predictor.admission.close),
            loop.call_at(ends + LAST_ANSWERS_SECONDS, self._close_connections),
        ]
        # uvicorn's own bound, which cancels what has still not ended
        self.config.timeout_graceful_shutdown = math.ceil(ends + LAST_ANSWERS_SECONDS - loop.time()) + 1
        await super().shutdown(sockets)
        for timer in timers:
            timer.cancel()

    def _drain(self, sig: int) -> None:
        log.info("asked to stop: the port closes in %g s", self._drain_seconds)
        self._runtime().readiness.shutting_down = True
        asyncio.get_running_loop().call_later(self._drain_seconds, super().handle_exit, sig, None)

    def _close_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def _exit() -> None:
    """End the process although something still runs in it."""
    log.critical("something did not end in time; exiting without it")
    logging.shutdown()
    os._exit(0)
