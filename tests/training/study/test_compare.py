from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats  # type: ignore[import-untyped]

from training.study.compare import Comparisons, noise_area, noise_curve
from training.study.result import Results
from training.study.statistics import holm

Whole = tuple[Path, Results]


def test_differences_are_paired_by_seed_and_corrected_together(whole: Whole) -> None:
    results = whole[1]
    comparisons = Comparisons(results)
    runs = {(run.arm, run.seed): run for run in results.runs}
    found = comparisons.comparisons()
    assert {(each.arm.name, each.baseline.name) for each in found} == {("stl", "sl")}
    by_name = {each.figure: each.difference for each in found}
    assert list(by_name) == [
        "test accuracy (%)",
        "operations",
        "spikes",
        "area under gaussian (%)",
        "area under weights (%)",
    ]

    def values(arm: str, name: str) -> np.ndarray:
        return np.array([getattr(runs[arm, seed].run.test, name) for seed in (0, 1)])

    stl, sl = values("stl", "operations"), values("sl", "operations")
    assert by_name["operations"].mean == pytest.approx(100 * (stl / sl - 1).mean())
    assert by_name["operations"].p == pytest.approx(stats.ttest_1samp(stl / sl - 1, 0).pvalue)
    stl, sl = 100 * values("stl", "accuracy"), 100 * values("sl", "accuracy")
    assert by_name["test accuracy (%)"].p == pytest.approx(stats.ttest_rel(stl, sl).pvalue)
    assert [each.corrected_p for each in found] == holm([each.difference.p for each in found])


def test_the_outcomes_of_samples_are_counted_from_their_votes(whole: Whole) -> None:
    comparisons = Comparisons(whole[1])
    (found,) = comparisons.outcomes()
    accuracies = {(run.arm, run.seed): run.run.test.accuracy for run in whole[1].runs if run.run.test}
    for seed, test in found.by_seed.items():
        # the baseline is the first of the two in the test
        gained = (test.only_second - test.only_first) / 360
        assert gained == pytest.approx(accuracies["stl", seed] - accuracies["sl", seed])
    mean = np.mean([accuracies["stl", seed] - accuracies["sl", seed] for seed in (0, 1)])
    assert found.bootstrap.mean == pytest.approx(mean)
    assert found.bootstrap.low <= mean <= found.bootstrap.high


def test_a_noise_curve_begins_without_noise(whole: Whole) -> None:
    run = whole[1].runs[0]
    assert run.noise is not None
    clean, noisy = run.noise.results[0].accuracy, run.noise.results[1].accuracy
    assert noise_curve(run, "gaussian", lambda each: each.accuracy) == [(0.0, clean), (0.3, noisy)]
    expected = integrate.trapezoid([clean, noisy], [0, 0.3]) / (0.3 * clean)
    assert noise_area(run, "gaussian") == pytest.approx(expected)
    assert noise_area(run, "silent") is None
    assert noise_area(run.model_copy(update={"noise": None}), "gaussian") is None


def test_arms_without_a_measured_run_are_left_out(whole: Whole) -> None:
    results = whole[1]
    only = results.model_copy(update={"runs": [run for run in results.runs if run.arm == "sl"]})
    comparisons = Comparisons(only)
    assert [arm.name for arm in comparisons.arms] == ["sl"]
    assert comparisons.comparisons() == []
    assert comparisons.outcomes() == []


def test_equal_starts_are_told_from_different_ones(whole: Whole) -> None:
    comparisons = Comparisons(whole[1])
    sl, stl = comparisons.arms
    assert comparisons.is_paired(stl, sl)
    changed = [
        run.model_copy(update={"run": run.run.model_copy(update={"initial_weights": "other"})})
        if (run.arm, run.seed) == ("stl", 1)
        else run
        for run in whole[1].runs
    ]
    assert not Comparisons(whole[1].model_copy(update={"runs": changed})).is_paired(stl, sl)
