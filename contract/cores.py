"""How many cores this process really has: those it may be scheduled on, as far as its control group pays for them."""

import os
from pathlib import Path

MOST_THREADS = 8  # a layer of a spiking network is too small to feed more


def choose_threads(cores: float) -> int:
    """Threads for one operation of the network: all cores but one, which decodes and answers; at least one.

    On two cores one thread does as many calls a second as two, and far more steadily.
    """
    return max(1, min(MOST_THREADS, int(cores) - 1))


def available_cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """The cores that this process may use; a container's limit may be a fraction.

    `groups` is where the control groups are mounted (version 1 or 2), `own` the file that names those of this process.
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
        # Version 2 has one tree at the mount itself, version 1 one for each set of controllers. Inside a container the
        # path may be one of the host's, which is not mounted: the container's own group is then the top.
        top = groups / controllers if (groups / controllers).is_dir() else groups / "cpu"
        group = top / path.strip("/")
        for folder in [group, *group.parents]:
            if folder.is_relative_to(top) and (limit := _limit(folder)):
                limits.append(limit)
    return limits


def _limit(group: Path) -> float | None:
    """The quota of one group in cores, None where it has none."""
    quota, _, period = _text(group / "cpu.max").strip().partition(" ")
    if not quota:
        quota, period = _text(group / "cpu.cfs_quota_us").strip(), _text(group / "cpu.cfs_period_us").strip()
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:  # "max" and -1 are no limit
        return None
    return int(quota) / int(period) or None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
