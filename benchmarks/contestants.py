"""The servers that `benchmarks.servers` compares: started on one core, asked in turns, and ended."""

import contextlib
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks.load import SERVER_CORE, free_port, pin, server, service
from benchmarks.processes import children, descendants, tell
from contract.store import Store
from tests.torchserve.server import TorchServe, write_archive

OURS = "service"
OTHERS = ("in-front", "torchserve", "litserve", "fastapi")

T = TypeVar("T")


@dataclass(frozen=True)
class Contestant:
    """A running server: where it is asked, with which headers, and its processes without their descendants."""

    url: str
    roots: frozenset[int]
    headers: Mapping[str, str] = field(default_factory=dict)

    def processes(self) -> set[int]:
        """All that it runs in."""
        return {process for root in self.roots for process in descendants(root)}


def left_out(names: Sequence[str]) -> dict[str, str]:
    """Which of these cannot be started here, and why."""
    reasons: dict[str, str] = {}
    if not (Path(sys.executable).parent / "torchserve").exists():
        reasons |= dict.fromkeys(("in-front", "torchserve"), "TorchServe is not installed (the extra `torchserve`)")
    elif shutil.which("java") is None:
        reasons |= dict.fromkeys(("in-front", "torchserve"), "TorchServe needs Java, which is not on the PATH")
    if importlib.util.find_spec("litserve") is None:
        reasons["litserve"] = "LitServe is not installed (the extra `benchmarks`)"
    return {name: reasons[name] for name in names if name in reasons}


class Contest:
    """The contestants, by name; they run until the stack that they were started on is closed."""

    def __init__(self, stack: contextlib.ExitStack, store: Path, model: str) -> None:
        self._stack, self._store, self._model = stack, store, model
        self._data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._torchserve: tuple[TorchServe, frozenset[int]] | None = None
        self.contestants: dict[str, Contestant] = {}

    def start(self, name: str) -> None:
        """Start one more."""
        start: Callable[[], Contestant] = {
            OURS: self._service,
            "in-front": self._in_front,
            "torchserve": self._torchserve_alone,
            "litserve": lambda: self._program("lit", "/predict"),
            "fastapi": lambda: self._program("plain", "/forward"),
        }[name]
        self.contestants[name] = start()

    def turn(self, name: str) -> Contestant:
        """Let this one run, and stop all that it does not need."""
        chosen = self.contestants[name]
        mine = chosen.processes()
        for other in self.contestants.values():
            tell(other.processes() - mine, signal.SIGSTOP)
        tell(mine, signal.SIGCONT)
        return chosen

    def _entered(self, context: contextlib.AbstractContextManager[T]) -> tuple[T, frozenset[int]]:
        return self._stack.enter_context(_with_processes(context))

    def _service(self, **settings: str) -> Contestant:
        data = self._data / str(len(self.contestants))
        usual = {"SNN_MODEL_STORE": str(self._store), "SNN_PRELOAD": self._model, "SNN_DATA_DIR": str(data)}
        address, roots = self._entered(service(usual | {"SNN_THREADS": "1"} | settings))
        return Contestant(f"{address}/v1/models/{self._model}/predict", roots)

    def _behind(self) -> tuple[TorchServe, frozenset[int]]:
        """The one TorchServe that is asked directly and by the service in front."""
        if self._torchserve is None:
            self._torchserve = self._entered(_torchserve(self._store, self._model))
        return self._torchserve

    def _torchserve_alone(self) -> Contestant:
        running, roots = self._behind()
        return Contestant(f"{running.url}/predictions/{self._model}/1", roots, running.key())

    def _in_front(self) -> Contestant:
        running, roots = self._behind()
        place = {"SNN_TORCHSERVE_URL": running.url, "SNN_TORCHSERVE_TOKEN_FILE": str(running.key_file)}
        ahead = self._service(SNN_BACKEND="torchserve", **place)
        return Contestant(ahead.url, ahead.roots | roots)

    def _program(self, module: str, path: str) -> Contestant:
        port = free_port()
        checkpoint = Store(self._store).newest(self._model)
        command = [sys.executable, "-m", f"benchmarks.{module}", str(checkpoint), "--port", str(port)]
        address, roots = self._entered(server(command, port, ready="/health", environment={}))
        return Contestant(address + path, roots)


@contextlib.contextmanager
def _with_processes(context: contextlib.AbstractContextManager[T]) -> Iterator[tuple[T, frozenset[int]]]:
    """Enter the context of a server, and say which processes it started; in the end none of them is left."""
    before = children(os.getpid())
    processes: set[int] = set()
    try:
        with context as entered:
            roots = frozenset(children(os.getpid()) - before)
            try:
                yield entered, roots
            finally:
                processes = {process for root in roots for process in descendants(root)}
                tell(processes, signal.SIGCONT)
    finally:
        tell(processes, signal.SIGKILL)  # LitServe leaves its children behind when it is told to end


@contextlib.contextmanager
def _torchserve(store: Path, model: str) -> Iterator[TorchServe]:
    """TorchServe with the model's archive, on the server's core."""
    usual = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as folder:
        write_archive(store, model, 1, Path(folder))
        running = TorchServe(Path(folder))
        try:
            pin(SERVER_CORE)  # which its processes inherit
            try:
                running.start()
            finally:
                os.sched_setaffinity(0, usual)
            yield running
        finally:
            running.remove()
