"""How long a study still takes, from the tasks that are done and from the epochs of those that are running."""

import json
import time
from collections.abc import Collection

from training.study.folder import PROGRESS_FILE, StudyFolder, Task


class TimeLeft:
    """An estimate of the time that a study takes.

    A task takes as many seconds per sample pass (see `Task.passes`) as others of the same network did, or else as all
    others did on average. Measurements are part of it once a task with the same noise has ended.
    """

    def __init__(self, folder: StudyFolder, jobs: int) -> None:
        self._folder = folder
        self._jobs = jobs
        self._started: dict[str, float] = {}
        self._rates: dict[tuple[str, bool], list[float]] = {}

    def start(self, task: Task) -> None:
        """Note that a task begins."""
        self._started[task.key] = time.monotonic()

    def end(self, task: Task) -> float:
        """Note that a task has ended; returns its seconds in this process."""
        seconds = time.monotonic() - self._started.pop(task.key)
        self._rates.setdefault(_kind(task), []).append(seconds / task.passes)
        return seconds

    def seconds(self, waiting: Collection[Task], running: Collection[Task]) -> float | None:
        """The time left for these tasks, None while nothing is known."""
        known = dict(self._rates)
        for task in running:
            if _kind(task) not in known and (rate := self._rate_so_far(task)) is not None:
                known[_kind(task)] = [rate]
        if not known:
            return None
        means = {kind: sum(rates) / len(rates) for kind, rates in known.items()}
        overall = sum(means.values()) / len(means)

        def whole(task: Task) -> float:
            return task.passes * means.get(_kind(task), means.get((_kind(task)[0], not task.is_search), overall))

        now = time.monotonic()
        left = sum(whole(task) for task in waiting)
        left += sum(max(0.0, whole(task) - (now - self._started[task.key])) for task in running)
        longest = max((whole(task) for task in [*waiting, *running]), default=0.0)
        return max(left / self._jobs, longest if waiting else 0.0)

    def _rate_so_far(self, task: Task) -> float | None:
        """Seconds per pass of a running task, None before the end of its first epoch."""
        try:
            progress = json.loads((self._folder.run_folder(task) / PROGRESS_FILE).read_text())
            return float(progress["seconds"]) / (int(progress["epochs"]) * task.config.timesteps)
        except (OSError, ValueError, KeyError):
            return None


def _kind(task: Task) -> tuple[str, bool]:
    return task.config.network, task.is_search


def in_words(seconds: float) -> str:
    """A time such as `45 s`, `12 min` or `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
