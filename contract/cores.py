"""The number of cores that this process may use, limited by its CPU affinity and its control group."""

import os
from pathlib import Path
from typing import Literal

MOST_THREADS = 8  # a layer of a spiking network is too small for more


def threads_for(setting: Literal["auto"] | int) -> int:
    """Threads for one operation of the network, as the setting says."""
    return choose_threads(available_cores()) if setting == "auto" else setting


def choose_threads(cores: float) -> int:
    """Threads for one operation of the network: all cores but one, which decodes and responds; at least one.

    On two cores one thread runs as many calls per second as two, and with far less variation.
    """
    return max(1, min(MOST_THREADS, int(cores) - 1))


def available_cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """The cores that this process may use; the limit of a container may be a fraction.

    `groups` is the mount point of the control groups (version 1 or 2), `own` the file that names this process's groups.
    """
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([float(mask), *_limits(groups, own)])


def _limits(groups: Path, own: Path) -> list[float]:
    """The limits of the process's group and of each group above it, in cores."""
    limits = []
    for line in _text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 2 has one tree at the mount point, version 1 one tree for each set of controllers. Inside a container
        # the path may be the host's, which is not mounted: then the container's own group is at the top.
        top = groups / controllers if (groups / controllers).is_dir() else groups / "cpu"
        group = top / path.strip("/")
        for folder in [group, *group.parents]:
            if folder.is_relative_to(top) and (limit := _limit(folder)):
                limits.append(limit)
    return limits


def _limit(group: Path) -> float | None:
    """The quota of one group in cores, None if it has none."""
    quota, _, period = _text(group / "cpu.max").strip().partition(" ")
    if not quota:
        quota, period = _text(group / "cpu.cfs_quota_us").strip(), _text(group / "cpu.cfs_period_us").strip()
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:  # "max" and -1 mean no limit
        return None
    return int(quota) / int(period) or None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
