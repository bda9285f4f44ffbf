"""A few processes that work on what strangers send, apart from the service.

What takes too long there is killed, what takes too much memory fails alone, and what breaks a decoder breaks nothing
else. The processes are forked from a small server that has imported what they need: a new one takes milliseconds.
"""

import asyncio
import logging
import multiprocessing
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from typing import Any

from typing_extensions import Buffer

from contract.errors import Failure, error_of
from service.sandbox.child import Task, serve
from service.sandbox.message import Spool, receive, send

_RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class TooMuchMemory(Exception):
    """The task needs more memory than a process of the sandbox has."""


class Crashed(Exception):
    """The task's process ended, by `signal` if it was one."""

    def __init__(self, status: int | None) -> None:
        self.signal = -status if status is not None and status < 0 else None
        self.is_from_outside = self.signal in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
        super().__init__(f"the process ended with status {status}")


class Sandbox:
    """`processes` processes, each of which may allocate `memory_bytes`, for the functions in `tasks` by name.

    A task is a function of a module's top level: it takes a head (what JSON holds) and a body, and returns both.
    """

    def __init__(self, tasks: Mapping[str, Task], *, processes: int, memory_bytes: int) -> None:
        self._tasks = dict(tasks)
        self._memory_bytes = memory_bytes
        self._processes = processes
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(sorted({task.__module__ for task in self._tasks.values()}))
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        self._children: set[_Child] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._is_stopped = False

    async def start(self) -> None:
        """Start the processes."""
        await asyncio.gather(*(self._add() for _ in range(self._processes)))

    async def stop(self) -> None:
        """Kill the processes, whatever they do."""
        self._is_stopped = True
        for child in self._children:
            child.kill()
        self._children.clear()
        await asyncio.gather(*self._starting)

    async def run(self, task: str, head: Any, body: Sequence[Buffer] | Spool = ()) -> tuple[Any, memoryview]:
        """The task's answer, when a process is free; one that is cancelled has its process killed.

        Raises the task's `ServiceError`, `TooMuchMemory`, or `Crashed`.
        """
        child = await self._idle.get()
        while not child.process.is_alive():  # killed from outside, while it had nothing to do
            self._replace(child)
            child = await self._idle.get()
        try:
            answer = await child.call({"task": task, "head": head}, body)
        except BaseException:
            self._replace(child)
            raise
        self._idle.put_nowait(child)
        outcome, content = answer
        if "answer" in outcome:
            return outcome["answer"], content
        if outcome["failure"] is None:
            raise TooMuchMemory
        raise error_of(Failure(**outcome["failure"]))

    def _replace(self, child: "_Child") -> None:
        child.kill()
        self._children.discard(child)
        if self._is_stopped:
            return
        starting = asyncio.create_task(self._add())
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)

    async def _add(self) -> None:
        while not self._is_stopped:
            try:
                child = await asyncio.to_thread(self._fork)
            except OSError as error:
                log.error("the sandbox cannot start a process: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if self._is_stopped:
                child.kill()
                return
            self._children.add(child)
            self._idle.put_nowait(child)
            return

    def _fork(self) -> "_Child":
        here, there = socket.socketpair()
        with there:
            here.setblocking(False)
            process = self._context.Process(
                target=serve, args=(there, self._tasks, self._memory_bytes), name="sandbox", daemon=True
            )
            process.start()
        return _Child(process, here)


class _Child:
    def __init__(self, process: ForkServerProcess, connection: socket.socket) -> None:
        self.process = process
        self._connection = connection

    async def call(self, head: Any, body: Sequence[Buffer] | Spool) -> tuple[Any, memoryview]:
        with suppress(ConnectionError):  # then the answer does not come either
            send(self._connection, head, body)
        await self._readable()
        try:
            answer = receive(self._connection)
        except ConnectionError:
            answer = None
        if answer is None:
            await asyncio.to_thread(self.process.join, 1.0)
            raise Crashed(self.process.exitcode)
        return answer

    def kill(self) -> None:
        self.process.kill()
        self._connection.close()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._connection, _settle, ready)
        try:
            await ready
        finally:
            loop.remove_reader(self._connection)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
