"""What of a study is done and what comes next: searches, then the runs of each arm whose search has ended."""

from dataclasses import dataclass

from training.study.choose import choose
from training.study.folder import StudyFolder, Task, make_task
from training.study.plan import Arm, Point, Study
from training.study.result import RunResult, SearchPoint, SearchResult


@dataclass(frozen=True)
class ArmTask:
    """A run of an arm at a seed. Arms with equal settings share a task."""

    arm: Arm
    seed: int
    task: Task


class Schedule:
    """The tasks of a study on the data with the fingerprint `data`, of which some are complete in its folder."""

    def __init__(self, study: Study, folder: StudyFolder, data: str) -> None:
        self.study = study
        self._folder = folder
        self._data = data
        self._done: dict[str, RunResult] = {}
        self._chosen: dict[str, SearchResult] = {}
        self._searches = {
            arm.name: [(point, self._task(arm, point, study.search.seed, searching=True)) for point in arm.points]
            for arm in study.arms
            if len(arm.points) > 1
        }

    def chosen(self) -> dict[str, SearchResult]:
        """The searches that have ended, by arm. An arm without a search has its only setting."""
        for arm in self.study.arms:
            if arm.name not in self._chosen and (found := self._search_result(arm)) is not None:
                self._chosen[arm.name] = found
        return self._chosen

    def runs(self) -> list[ArmTask]:
        """The runs of the arms whose settings are chosen, seed by seed."""
        chosen = self.chosen()
        return [
            ArmTask(arm, seed, self._task(arm, chosen[arm.name].chosen, seed))
            for seed in self.study.seeds
            for arm in self.study.arms
            if arm.name in chosen
        ]

    def waiting(self) -> list[Task]:
        """The tasks that are not complete and can be done now, in this order."""
        searches = [task for points in self._searches.values() for _, task in points]
        known = {task.key: task for task in [*searches, *(run.task for run in self.runs())]}
        return [task for task in known.values() if self.result(task) is None]

    def expected(self) -> list[Task]:
        """The tasks that are waiting, and stand-ins for runs whose settings are not chosen yet."""
        later = [
            self._task(arm, arm.points[0], seed)
            for arm in self.study.arms
            if arm.name not in self.chosen()
            for seed in self.study.seeds
        ]
        return [*self.waiting(), *later]

    def result(self, task: Task) -> RunResult | None:
        """The result of a complete task."""
        if task.key not in self._done and self._folder.is_done(task):
            result = self._folder.result(task)
            assert result is not None
            self._done[task.key] = result
        return self._done.get(task.key)

    def names(self, task: Task) -> str:
        """The arms that a task belongs to."""
        searches = {name for name, points in self._searches.items() if task in [each for _, each in points]}
        runs = {run.arm.name for run in self.runs() if run.task == task}
        return " and ".join(arm.name for arm in self.study.arms if arm.name in searches | runs)

    def _task(self, arm: Arm, point: Point, seed: int, *, searching: bool = False) -> Task:
        config = self.study.config(arm, point, seed, searching=searching)
        return make_task(config, self._data, is_search=searching, noise=self.study.noise)

    def _search_result(self, arm: Arm) -> SearchResult | None:
        if arm.name not in self._searches:
            return SearchResult(points=[], chosen=arm.points[0])
        points = []
        for point, task in self._searches[arm.name]:
            result = self.result(task)
            if result is None:
                return None
            points.append(_search_point(point, result))
        return SearchResult(points=points, chosen=choose(points, self.study.search.tolerance).point)


def _search_point(point: Point, result: RunResult) -> SearchPoint:
    measured = result.validation
    return SearchPoint(
        point=point,
        key=result.key,
        accuracy=None if measured is None else measured.accuracy,
        samples=0 if measured is None else measured.samples,
        operations=None if measured is None else measured.operations,
        spikes=None if measured is None else measured.spikes,
        seconds=result.seconds,
        error=result.error,
    )
