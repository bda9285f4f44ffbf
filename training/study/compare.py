"""From results to the numbers of the report: means by arm, paired differences to the baseline, and noise areas."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.study.packing import unpack_bits
from training.study.plan import Arm
from training.study.result import ArmRun, NoiseResult, Results, RunResult
from training.study.statistics import (
    Difference,
    Interval,
    McNemar,
    area_under_noise,
    bootstrap_difference,
    holm,
    mcnemar,
    mean_interval,
    paired_difference,
)


@dataclass(frozen=True)
class Figure:
    """One number of a run: its name, unit and value. `relative` differences are in per cent of the baseline."""

    name: str
    relative: bool
    of: Callable[[RunResult], float]


def _test(name: str, scale: float = 1.0) -> Callable[[RunResult], float]:
    def of(run: RunResult) -> float:
        return scale * float(getattr(run.test, name))

    return of


FIGURES = (
    Figure("test accuracy (%)", False, _test("accuracy", 100)),
    Figure("operations", True, _test("operations")),
    Figure("spikes", True, _test("spikes")),
)


@dataclass(frozen=True)
class Comparison:
    """A paired difference between an arm and its baseline, with its p-value corrected for all of the report."""

    arm: Arm
    baseline: Arm
    figure: str
    relative: bool
    difference: Difference
    corrected_p: float


@dataclass(frozen=True)
class Outcomes:
    """Which test samples an arm and its baseline got right: McNemar's test of each seed, and the bootstrap."""

    arm: Arm
    baseline: Arm
    by_seed: dict[int, McNemar]
    bootstrap: Interval


class Comparisons:
    """All numbers of a report, from the runs that were measured so far."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.arms = [arm for arm in results.study.arms if self.runs(arm)]

    def runs(self, arm: Arm) -> dict[int, ArmRun]:
        """The measured runs of an arm by seed."""
        found = (run for run in self.results.runs if run.arm == arm.name)
        return {run.seed: run for run in found if run.run.test is not None}

    def first_run(self, arm: Arm) -> RunResult:
        """The run of an arm at its first seed."""
        return next(iter(self.runs(arm).values())).run

    def mean(self, arm: Arm, of: Callable[[RunResult], float]) -> Interval:
        """The mean over the seeds of an arm."""
        return mean_interval([of(run.run) for run in self.runs(arm).values()])

    def pairs(self) -> list[tuple[Arm, Arm]]:
        """Each arm with its baseline, where both have runs at the same seeds."""
        by_name = {arm.name: arm for arm in self.arms}
        found = [(arm, by_name.get(self.results.study.baseline_of(arm) or "")) for arm in self.arms]
        return [(arm, base) for arm, base in found if base is not None and self.common_seeds(arm, base)]

    def common_seeds(self, arm: Arm, baseline: Arm) -> list[int]:
        """The seeds at which both arms were measured."""
        return [seed for seed in self.runs(arm) if seed in self.runs(baseline)]

    def comparisons(self) -> list[Comparison]:
        """Every paired difference, with p-values corrected for their number over all figures and noises."""
        found: list[tuple[Arm, Arm, str, bool, Difference]] = []
        for arm, baseline in self.pairs():
            seeds = self.common_seeds(arm, baseline)
            first, second = ([self.runs(each)[seed] for seed in seeds] for each in (arm, baseline))
            for figure in FIGURES:
                values, others = ([figure.of(run.run) for run in runs] for runs in (first, second))
                if figure.relative and min(others) == 0:
                    continue
                difference = paired_difference(values, others, relative=figure.relative)
                found.append((arm, baseline, figure.name, figure.relative, difference))
            for kind in self.noise_kinds():
                areas = [[noise_area(run, kind) for run in runs] for runs in (first, second)]
                if all(area is not None for each in areas for area in each):
                    values, others = ([100 * (area or 0.0) for area in each] for each in areas)
                    name = f"area under {kind} (%)"
                    found.append((arm, baseline, name, False, paired_difference(values, others)))
        corrected = holm([difference.p for *_, difference in found])
        return [Comparison(*each, p) for each, p in zip(found, corrected, strict=True)]

    def outcomes(self) -> list[Outcomes]:
        """McNemar's tests and the bootstrap of each pair."""
        found = []
        for arm, baseline in self.pairs():
            seeds = self.common_seeds(arm, baseline)
            first, second = (np.stack([right(self.runs(each)[s].run) for s in seeds]) for each in (arm, baseline))
            by_seed = {seed: mcnemar(second[place], first[place]) for place, seed in enumerate(seeds)}
            found.append(Outcomes(arm, baseline, by_seed, bootstrap_difference(first, second)))
        return found

    def noise_kinds(self) -> list[str]:
        """The kinds of noise of the study."""
        return list(self.results.study.noise.levels)

    def is_paired(self, arm: Arm, baseline: Arm) -> bool:
        """Whether two arms start from the same synaptic weights at every common seed."""
        return all(
            self.runs(arm)[seed].run.initial_weights == self.runs(baseline)[seed].run.initial_weights
            for seed in self.common_seeds(arm, baseline)
        )


def right(run: RunResult) -> NDArray[np.bool_]:
    """Which test samples a run got right."""
    assert run.test is not None
    return unpack_bits(run.test.correct, (run.test.samples,))


def noise_curve(run: ArmRun, kind: str, of: Callable[[NoiseResult], float]) -> list[tuple[float, float]]:
    """Level and mean over the draws, from no noise to the highest level."""
    results = run.noise.results if run.noise else []
    levels = sorted({each.level for each in results if each.kind == kind})
    at: Sequence[tuple[str, float]] = [("clean", 0.0), *((kind, level) for level in levels)]
    return [
        (level, float(np.mean([of(each) for each in results if (each.kind, each.level) == (name, level)])))
        for name, level in at
        if results
    ]


def noise_area(run: ArmRun, kind: str) -> float | None:
    """The area under a run's accuracy against noise relative to its accuracy without, None without results."""
    curve = noise_curve(run, kind, lambda each: each.accuracy)
    if len(curve) < 2 or curve[0][1] == 0:
        return None
    levels, accuracies = zip(*curve[1:], strict=True)
    return area_under_noise(levels, accuracies, curve[0][1])
