"""The child process of a job: it stops when told to, and holds what only one may hold."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType

import torch
from filelock import FileLock, Timeout

from contract.cores import MOST_THREADS, available_cores
from contract.job_spec import LOCKS_FOLDER
from contract.settings import Settings

LOCK_FILE = ".lock"
NICENESS = 10


class Stop:
    """SIGTERM and Ctrl-C end the process with 128 + signal: at once, or in the loop between two batches.

    Nothing is lost either way: what is written is renamed into place once it is whole.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._in_loop = False

    def listen(self) -> None:
        """Take over both signals."""
        signal.signal(signal.SIGTERM, self._told)
        signal.signal(signal.SIGINT, self._told)

    def check(self) -> None:
        """Leave if it was asked for."""
        if self._asked is not None:
            raise SystemExit(128 + self._asked)

    @contextmanager
    def between_batches(self) -> Iterator[None]:
        """Leave only where `check` is called, or at the end of the block."""
        self._in_loop = True
        try:
            yield
        except SystemExit:  # Lightning's own, which has no status
            self.check()
            raise
        finally:
            self._in_loop = False
        self.check()

    def _told(self, number: int, frame: FrameType | None) -> None:
        self._asked = number
        if not self._in_loop:
            self.check()


def training_device(settings: Settings) -> torch.device:
    """The device that the settings name, with its number."""
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device("cuda:0" if name == "cuda" else name)


def limit_cpu_use(settings: Settings) -> None:
    """On a CPU that also answers requests: few threads, and a low priority."""
    wanted = settings.training_threads
    torch.set_num_threads(choose_training_threads(available_cores()) if wanted == "auto" else wanted)
    os.nice(max(0, NICENESS - os.nice(0)))  # its parent may have begun


def choose_training_threads(cores: float) -> int:
    """Half of the cores, from one to as many as a network can use; the rest answers requests."""
    return max(1, min(MOST_THREADS, int(cores / 2)))


def hold_job(folder: Path) -> AbstractContextManager[object] | None:
    """The lock of a job's folder, to hold by `with`; None where another process holds it."""
    try:
        return FileLock(folder / LOCK_FILE).acquire(timeout=0)
    except Timeout:
        return None


def hold_device(data_dir: Path, device: torch.device, waiting: Callable[[], None]) -> AbstractContextManager[object]:
    """The lock of a device, to hold by `with`; calls `waiting` once where another process has it, and waits."""
    folder = data_dir / LOCKS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"device-{device}.lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        waiting()
        return lock.acquire()
