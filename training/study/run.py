"""Run a study: search each arm's settings, train them at every seed, measure, and keep the results."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from training.data import Dataset, Images
from training.errors import ConfigError
from training.learning.time_bins import load_for
from training.study.folder import StudyFolder, Task
from training.study.one_run import prepare_process, run_task
from training.study.plan import Study
from training.study.result import Results
from training.study.results_file import summary_of, write_results
from training.study.schedule import Schedule
from training.study.time_left import TimeLeft, in_words

POLL_S = 2.0


def run_study(study: Study, root: Path, *, jobs: int = 1, data_dir: Path | None = None) -> Results:
    """Do what is left of a study in the folder `root`, in `jobs` processes, and return all results.

    `results.json` is written anew after each run. Raises `ConfigError` where the study does not fit the data, where
    another process works in the folder, or where a process of the study was killed.
    """
    study.check()
    config = study.config(study.arms[0], study.arms[0].points[0], study.seeds[0])
    dataset = load_for(config, data_dir)
    _check_noise(study, dataset)
    root.mkdir(parents=True, exist_ok=True)
    folder, data = StudyFolder(root), summary_of(dataset)
    del dataset  # each process of the study loads its own
    schedule = Schedule(study, folder, data.fingerprint)
    try:
        with FileLock(root / ".lock", timeout=0):
            for task in _finished_tasks(schedule, folder, jobs, data_dir):
                if not task.is_search:
                    write_results(schedule, folder, data)
            return write_results(schedule, folder, data)
    except Timeout:
        raise ConfigError(f"another process is running the study in {root}") from None
    except BrokenProcessPool as error:
        reason = "a process of the study was killed, perhaps because memory ran out"
        raise ConfigError(f"{reason}; the same command continues the study") from error


def _check_noise(study: Study, dataset: Dataset) -> None:
    target = "images" if isinstance(dataset.test, Images) else "events"
    for noise in study.noise.noises:
        if noise.kind.target not in (target, "network"):
            raise ConfigError(f"noise {noise.kind.name} is for {noise.kind.target}, and {dataset.name} has {target}")


def _finished_tasks(schedule: Schedule, folder: StudyFolder, jobs: int, data_dir: Path | None) -> Iterator[Task]:
    """Do all tasks, report on each, and yield it when it is complete."""
    clock = TimeLeft(folder, jobs)
    running: dict[Future[None], Task] = {}
    announced = False
    print(f"{schedule.study.name}: {len(schedule.expected())} trainings left", flush=True)
    with _processes(jobs) as pool:
        while running or schedule.waiting():
            busy = {task.key for task in running.values()}
            free = [task for task in schedule.waiting() if task.key not in busy]
            for task in free[: jobs - len(running)]:
                clock.start(task)
                running[pool.submit(run_task, task, folder.root, data_dir)] = task
            done, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                task = running.pop(future)
                future.result()
                print(f"{_outcome(schedule, task)}, {in_words(clock.end(task))}; {_outlook(schedule, clock, running)}")
                yield task
            if not announced and (left := _time_left(schedule, clock, running)) is not None:
                announced = True
                print(f"about {in_words(left)} in all", flush=True)


def _outcome(schedule: Schedule, task: Task) -> str:
    """One finished task in words."""
    result = schedule.result(task)
    assert result is not None
    measured = result.validation if task.is_search else result.test
    part = "validation" if task.is_search else "test"
    what = "search" if task.is_search else f"seed {task.config.seed}"
    if measured is None:
        return f"{schedule.names(task)}, {what}: {result.error}"
    figures = f"{part} accuracy {measured.accuracy:.2%}, {measured.operations:,.0f} operations"
    return f"{schedule.names(task)}, {what}: {figures}"


def _outlook(schedule: Schedule, clock: TimeLeft, running: dict[Future[None], Task]) -> str:
    left = _time_left(schedule, clock, running)
    return f"{len(schedule.expected())} left" + ("" if not left else f", about {in_words(left)}")


def _time_left(schedule: Schedule, clock: TimeLeft, running: dict[Future[None], Task]) -> float | None:
    busy = {task.key for task in running.values()}
    waiting = [task for task in schedule.expected() if task.key not in busy]
    return clock.seconds(waiting, running.values())


@contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes that are killed where the block does not end well."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, spawn, initializer=prepare_process, initargs=(os.getpid(),))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.kill()
        raise
    pool.shutdown()
