"""A memory limit as containers have it: a cgroup (version 1 or 2) of the service and all that it starts."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@dataclass
class MemoryGroup:
    """One cgroup. `peak_bytes` is the most that its processes held in anonymous and shared memory since `forget_peak`.

    The page cache of files is left out: the kernel takes it back when memory is short.
    """

    folder: Path
    peak_bytes: int = 0

    def enter(self) -> None:
        """Move the calling process into the group; for `preexec_fn`."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def kills(self) -> int:
        """How many processes the kernel has killed for want of memory."""
        file = self.folder / ("memory.events" if (self.folder / "memory.events").exists() else "memory.oom_control")
        counts = dict(line.split() for line in file.read_text().splitlines())
        return int(counts.get("oom_kill", 0))

    def forget_peak(self) -> None:
        """Begin the peak anew."""
        self.peak_bytes = 0

    def sample(self) -> None:
        """Look at the memory now, and keep the peak."""
        lines = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        names = ("anon", "shmem") if "anon" in lines else ("total_rss", "total_shmem")  # version 2, version 1
        self.peak_bytes = max(self.peak_bytes, sum(int(lines[name]) for name in names))


@contextmanager
def memory_limit(size: int, *, interval: float = 0.02) -> Iterator[MemoryGroup | None]:
    """Make a cgroup of at most `size` bytes and watch it; None where this user may not make one."""
    parent = V1 if V1.is_dir() else V2
    folder = parent / f"stl-snn-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / ("memory.limit_in_bytes" if parent == V1 else "memory.max")).write_text(str(size))
    except OSError:
        if folder.is_dir():
            folder.rmdir()
        yield None
        return
    group, stop = MemoryGroup(folder), threading.Event()

    def watch() -> None:
        while not stop.wait(interval):
            group.sample()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield group
    finally:
        stop.set()
        watcher.join()
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a cgroup once the last of its processes has ended."""
    ends = time.monotonic() + 10
    while True:
        try:
            folder.rmdir()
            return
        except OSError:
            if time.monotonic() > ends:
                raise
        time.sleep(0.1)
