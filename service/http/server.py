"""The HTTP server, and how it leaves: first it says so, then the port closes, then what was accepted is answered."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from socket import socket
from types import FrameType

import uvicorn

from service.runtime import Runtime

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn with an orderly end.

    On SIGTERM, `/health/ready` turns 503 and answers ask their clients to close the connection, while everything is
    still served. `drain_seconds` later the port closes. What is not answered `grace_seconds` after the signal gets 503.
    A second signal, and SIGINT, close the port at once.
    """

    def __init__(
        self, config: uvicorn.Config, runtime: Callable[[], Runtime], *, drain_seconds: float, grace_seconds: float
    ) -> None:
        super().__init__(config)
        self._runtime = runtime
        self._drain_seconds = drain_seconds
        self._grace_seconds = grace_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends: float | None = None

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start the application, then listen."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        # What is imported and built by now stays. Searched for garbage, it would hold every request up for 70 ms.
        gc.collect()
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to leave; called by the signal."""
        if self._loop is None or self._ends is not None or sig != signal.SIGTERM:
            super().handle_exit(sig, frame)
            return
        self._ends = self._loop.time() + self._grace_seconds
        self._loop.call_soon_threadsafe(self._drain, sig)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Close the port, wait for what is being answered, and stop the application."""
        loop = asyncio.get_running_loop()
        runtime = self._runtime()
        runtime.readiness.shutting_down = True
        log.info("the port closes; %d request(s) are being answered", len(self.server_state.tasks))
        cut = loop.call_at(self._ends or loop.time() + self._grace_seconds, runtime.predictor.admission.close)
        await super().shutdown(sockets)
        cut.cancel()

    def _drain(self, sig: int) -> None:
        log.info("told to leave: the port closes in %g s", self._drain_seconds)
        self._runtime().readiness.shutting_down = True
        asyncio.get_running_loop().call_later(self._drain_seconds, super().handle_exit, sig, None)
