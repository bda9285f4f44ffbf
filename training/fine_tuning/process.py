"""The process of a job: signals, locks, device and CPU use."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType

import torch
from filelock import FileLock, Timeout

from contract.cores import MOST_THREADS, available_cores
from contract.job_spec import LOCK_FILE, LOCKS_FOLDER, PLACED_VARIABLE
from contract.settings import Settings

NICENESS = 10


class Stop:
    """SIGTERM and Ctrl-C end the process with 128 + signal: at once, or between two batches of the training loop.

    Nothing is lost either way: files are renamed into place when they are complete.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._in_loop = False

    def listen(self) -> None:
        """Handle both signals."""
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGINT, self._handle)

    def check(self) -> None:
        """Exit if a signal has arrived."""
        if self._signal is not None:
            raise SystemExit(128 + self._signal)

    @contextmanager
    def between_batches(self) -> Iterator[None]:
        """Exit only where `check` is called, or at the end of the block."""
        self._in_loop = True
        try:
            yield
        except SystemExit:  # Lightning's own, without the status
            self.check()
            raise
        finally:
            self._in_loop = False
        self.check()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        if not self._in_loop:
            self.check()


def training_device(settings: Settings) -> torch.device:
    """The device of the settings, with its number."""
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device("cuda:0" if name == "cuda" else name)


def limit_cpu_use(settings: Settings) -> None:
    """Leave CPU time to inference: few threads and a low priority."""
    threads = settings.training_threads
    torch.set_num_threads(choose_training_threads(available_cores()) if threads == "auto" else threads)
    os.nice(max(0, NICENESS - os.nice(0)))  # the parent may have lowered it already


def choose_training_threads(cores: float) -> int:
    """Half of the cores, at least one and at most as many as a network can use; the rest is for inference."""
    return max(1, min(MOST_THREADS, int(cores / 2)))


def hold_job(folder: Path) -> AbstractContextManager[object] | None:
    """The lock of a job's folder, for a `with` block; None if another process holds it."""
    try:
        return FileLock(folder / LOCK_FILE).acquire(timeout=0)
    except Timeout:
        return None


def hold_device(data_dir: Path, device: torch.device, waiting: Callable[[], None]) -> AbstractContextManager[object]:
    """The lock of a device, for a `with` block. If another process holds it, call `waiting` once, and wait.

    A process whose device was reserved by who placed it needs no lock.
    """
    if PLACED_VARIABLE in os.environ:
        return nullcontext()
    folder = data_dir / LOCKS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"device-{device}.lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        waiting()
        return lock.acquire()
