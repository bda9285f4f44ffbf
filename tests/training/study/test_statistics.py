"""Statistics against SciPy, textbooks and R."""

import numpy as np
import pytest
from scipy import integrate, stats  # type: ignore[import-untyped]

from training.study.statistics import (
    area_under_noise,
    bootstrap_difference,
    holm,
    mcnemar,
    mean_interval,
    paired_difference,
)

# Student's sleep data (1908), as in R's `sleep`: additional hours of sleep with two drugs
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_the_interval_of_a_mean_is_students() -> None:
    found = mean_interval(SECOND)
    expected = stats.ttest_1samp(SECOND, 0).confidence_interval(0.95)
    assert found.n == 10
    assert [found.mean, found.low, found.high] == pytest.approx([2.33, expected.low, expected.high])
    # 2.262157 is the 97.5 % point of t with 9 degrees of freedom, from a table
    assert found.half_width == pytest.approx(2.262157 * np.std(SECOND, ddof=1) / 10**0.5, rel=1e-6)


def test_the_paired_difference_of_students_sleep_data_is_that_of_the_textbook() -> None:
    found = paired_difference(SECOND, FIRST)
    # R: t.test(extra ~ group, data = sleep, paired = TRUE) gives p = 0.002833, interval 0.7001142 to 2.4598858
    assert found.mean == pytest.approx(1.58)
    assert found.p == pytest.approx(0.002833, abs=5e-7)
    assert [found.low, found.high] == pytest.approx([0.7001142, 2.4598858], abs=5e-8)
    assert found.p == pytest.approx(stats.ttest_rel(SECOND, FIRST).pvalue)


def test_a_relative_difference_is_in_per_cent_of_each_baseline() -> None:
    found = paired_difference([110.0, 180.0, 330.0], [100.0, 200.0, 300.0], relative=True)
    expected = stats.ttest_1samp([10.0, -10.0, 10.0], 0)
    assert found.mean == pytest.approx(10 / 3)
    assert found.p == pytest.approx(expected.pvalue)


def test_one_value_has_no_interval_and_equal_values_have_one_of_no_width() -> None:
    assert mean_interval([3.0]).mean == 3.0
    assert np.isnan(mean_interval([3.0]).half_width)
    assert np.isnan(paired_difference([3.0], [2.0]).p)
    assert mean_interval([2.0, 2.0]).half_width == 0
    assert paired_difference([1.0, 2.0], [1.0, 2.0]).p == 1.0
    assert paired_difference([2.0, 3.0], [1.0, 2.0]).p == 0.0


def test_holms_correction_equals_rs_and_the_textbook() -> None:
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    # an example in encyclopedias: 0.01, 0.04, 0.03, 0.005 at 0.05 rejects the first and the fourth
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    missing = holm([0.02, float("nan"), 0.01])
    assert np.isnan(missing[1])
    assert [missing[0], missing[2]] == pytest.approx([0.02, 0.02])


def test_mcnemars_exact_test_is_the_binomial_one() -> None:
    first = np.array([True] * 10 + [True] + [False] * 5 + [False] * 4)
    second = np.array([True] * 10 + [False] + [True] * 5 + [False] * 4)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (1, 5)
    assert found.p == pytest.approx(2 * (1 + 6) / 2**6)
    assert mcnemar(first, first).p == 1.0


def test_mcnemars_test_of_approval_ratings_agrees_with_the_textbook() -> None:
    # Agresti, Categorical Data Analysis: 150 and 86 changed their mind; (86 - 150)^2 / 236 = 17.36
    first = np.repeat([True, True, False, False], [794, 150, 86, 570])
    second = np.repeat([True, False, True, False], [794, 150, 86, 570])
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (150, 86)
    assert found.p == pytest.approx(2 * stats.binom.cdf(86, 236, 0.5))
    assert found.p == pytest.approx(stats.chi2.sf((abs(86 - 150) - 1) ** 2 / 236, 1), rel=0.1)


def test_the_bootstrap_of_a_difference_resamples_samples_with_all_their_seeds() -> None:
    rng = np.random.default_rng(3)
    baseline = rng.random((3, 400)) < 0.8
    values = baseline ^ (rng.random((3, 400)) < 0.1)
    found = bootstrap_difference(values, baseline)
    differences = (values.astype(float) - baseline).mean(0)
    assert found.mean == pytest.approx(values.mean() - baseline.mean())
    normal = stats.norm.interval(0.95, differences.mean(), differences.std() / 20)
    assert (found.low, found.high) == pytest.approx(normal, abs=0.1 * (normal[1] - normal[0]))
    assert bootstrap_difference(values, values).half_width == 0


def test_the_area_under_noise_is_relative_to_the_accuracy_without_noise() -> None:
    # two trapezoids: (0.8 + 0.6)/2 * 0.1 + (0.6 + 0.2)/2 * 0.2 = 0.15, of 0.8 * 0.3 = 0.24
    assert area_under_noise([0.1, 0.3], [0.6, 0.2], 0.8) == pytest.approx(0.15 / 0.24)
    assert area_under_noise([0.1, 0.3], [0.8, 0.8], 0.8) == pytest.approx(1.0)
    expected = integrate.trapezoid([0.9, 0.7, 0.4], [0.0, 0.2, 0.5]) / (0.5 * 0.9)
    assert area_under_noise([0.2, 0.5], [0.7, 0.4], 0.9) == pytest.approx(expected)
