"""Processes with all their descendants, as Linux tells of them: time, memory and signals."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path


def children(process: int) -> set[int]:
    """The processes that `process` has started and that are still there."""
    found: set[int] = set()
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            found |= set(map(int, file.read_text().split()))
    return found


def descendants(process: int) -> Iterator[int]:
    """The process and all that come from it."""
    yield process
    for child in children(process):
        yield from descendants(child)


def tell(processes: Iterable[int], what: signal.Signals) -> None:
    """Send a signal to those that are still there."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, what)


def memory(processes: Iterable[int]) -> tuple[float, float]:
    """Resident and proportional memory (RSS and PSS) of them together, in MiB.

    Resident memory counts what several share once for each, proportional memory once in all.
    """
    resident = proportional = 0
    for process in processes:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
        kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        resident += kilobytes["Rss"]
        proportional += kilobytes["Pss"]
    return resident / 1024, proportional / 1024


def cpu_seconds(processes: Iterable[int]) -> float:
    """Time that cores have spent on them so far, in the system too."""
    ticks = 0
    for process in processes:
        # the second field, the name in brackets, may hold anything
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
