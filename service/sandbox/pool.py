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
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from typing import Any

from typing_extensions import Buffer

from contract.errors import Failure, error_of
from service.sandbox.child import Task, serve
from service.sandbox.message import Spool, receive, send
from service.sandbox.turns import Turns

_RETRY_SECONDS = 1.0

# Small tasks are those of a moment; they never wait for a large one to end, as long as there are two processes.
SMALL_MEMORY_BYTES = 128 * 1024 * 1024
SMALL_SECONDS = 1.0
MAX_SMALL_WAITING = 128
MAX_LARGE_WAITING = 16
USUAL_LARGE_SECONDS = 1.0

_preloaded: set[str] = set()
_context = multiprocessing.get_context("forkserver")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one task may take: bytes of memory, and seconds, if they are limited."""

    memory_bytes: int
    seconds: float | None = None


class TooMuchMemory(Exception):
    """The task needs more memory than it may allocate: it failed, or aborted, as code does that is not in Python."""


class TookTooLong(Exception):
    """The task needs more time than it may take."""


class Crashed(Exception):
    """The task's process ended, by `signal` if it was one."""

    def __init__(self, status: int | None) -> None:
        self.signal = -status if status is not None and status < 0 else None
        self.is_from_outside = self.signal in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
        super().__init__(f"the process ended with status {status}")


def prepare(*modules: str) -> None:
    """Start the server of the processes, which imports the modules of their tasks meanwhile.

    Without it, the server is started by the first sandbox, and waited for.
    """
    _preload(*modules)
    forkserver.ensure_running()


def _preload(*modules: str) -> None:
    _preloaded.update(modules)
    _context.set_forkserver_preload(sorted(_preloaded))  # there is one server for all sandboxes


class Sandbox:
    """`processes` processes for the functions in `tasks` by name, each of which runs one task at a time.

    A task is a function of a module's top level: it takes a head (what JSON holds) and a body, and returns both. Every
    task is first run as a small one, with little memory and time. The caller runs it again as a large one if that was
    not enough: of those one at a time runs where there are two processes, and always one less than there are. Tasks
    that would probably wait for more than `max_wait_seconds` are refused.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        *,
        processes: int,
        large: Allowance,
        small: Allowance = Allowance(SMALL_MEMORY_BYTES, SMALL_SECONDS),
        max_small_waiting: int = MAX_SMALL_WAITING,
        max_large_waiting: int = MAX_LARGE_WAITING,
        max_wait_seconds: float = float("inf"),
    ) -> None:
        self._tasks = dict(tasks)
        self._small = Allowance(min(small.memory_bytes, large.memory_bytes), small.seconds)
        self._large = large
        self._processes = processes
        self._places = Turns(processes, max_waiting=max_small_waiting, max_wait_seconds=max_wait_seconds)
        self._large_places = Turns(
            max(1, processes - 1),
            max_waiting=max_large_waiting,
            max_wait_seconds=max_wait_seconds,
            usual_seconds=USUAL_LARGE_SECONDS,
        )
        _preload(*(task.__module__ for task in self._tasks.values()))
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

    async def run(
        self,
        task: str,
        head: Any,
        body: Sequence[Buffer] | Spool = (),
        *,
        client: str = "",
        is_large: bool = False,
    ) -> tuple[Any, memoryview]:
        """The task's answer, when a process is free; clients take turns. A task that is cancelled is killed.

        Raises the task's `ServiceError`, `TooMuchMemory`, `TookTooLong`, `Crashed`, or `Overloaded` at once if too
        many tasks wait.
        """
        async with AsyncExitStack() as held:
            if is_large:
                await held.enter_async_context(self._large_places.place(client))
            await held.enter_async_context(self._places.place(client))
            outcome, content = await self._call(task, head, body, is_large=is_large)
        if "answer" in outcome:
            return outcome["answer"], content
        if outcome["failure"] is None:
            raise TooMuchMemory
        raise error_of(Failure(**outcome["failure"]))

    async def _call(
        self, task: str, head: Any, body: Sequence[Buffer] | Spool, *, is_large: bool
    ) -> tuple[Any, memoryview]:
        allowance = self._large if is_large else self._small
        child = await self._idle.get()
        while not child.process.is_alive():  # killed from outside, while it had nothing to do
            self._replace(child)
            child = await self._idle.get()
        message = {"task": task, "head": head, "memory_bytes": allowance.memory_bytes}
        is_used_up = True
        try:
            async with asyncio.timeout(allowance.seconds) as limit:
                answer = await child.call(message, body)
            is_used_up = is_large  # what it has allocated is not left with the next task
        except TimeoutError:
            if limit.expired():
                raise TookTooLong from None
            raise
        finally:
            if is_used_up:
                self._replace(child)
            else:
                self._idle.put_nowait(child)
        return answer

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
            process = _context.Process(
                target=serve, args=(there, self._tasks, self._large.memory_bytes), name="sandbox", daemon=True
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
            if self.process.exitcode == -signal.SIGABRT:
                raise TooMuchMemory
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
