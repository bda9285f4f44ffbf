import pytest

from training.errors import ConfigError
from training.study.choose import choose
from training.study.result import SearchPoint


def point(accuracy: float | None, operations: float | None, samples: int = 400) -> SearchPoint:
    settings = {"a": accuracy, "o": operations}
    return SearchPoint(
        point=settings, key="k", accuracy=accuracy, samples=samples, operations=operations, spikes=1.0, seconds=1.0
    )


def test_of_equally_accurate_settings_the_one_with_the_fewest_operations_is_chosen() -> None:
    # the standard error of 0.8 over 400 samples is 0.02
    points = [point(0.80, 900.0), point(0.781, 500.0), point(0.779, 100.0), point(0.785, 700.0)]
    assert choose(points, 1.0) == points[1]
    assert choose(points, 0.8) == points[3]
    assert choose(points, 0.0) == points[0]
    assert choose(points, 1.1) == points[2]


def test_settings_that_diverged_are_not_chosen() -> None:
    points = [point(None, None), point(0.1, 5.0)]
    assert choose(points, 1.0) == points[1]
    with pytest.raises(ConfigError, match="diverged"):
        choose(points[:1], 1.0)


def test_of_equal_operations_the_more_accurate_is_chosen() -> None:
    points = [point(0.79, 5.0), point(0.80, 5.0)]
    assert choose(points, 1.0) == points[1]
