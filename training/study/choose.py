"""The choice of an arm's settings among those tried: by accuracy on the validation part, then by operations."""

from collections.abc import Sequence

from training.errors import ConfigError
from training.study.result import SearchPoint


def choose(points: Sequence[SearchPoint], tolerance: float) -> SearchPoint:
    """The point with the fewest operations among the equally accurate ones.

    Equally accurate are all points within `tolerance` standard errors of the best accuracy, where the standard error is
    that of a share of the validation samples. `ConfigError` if every training diverged.
    """
    tried = [(point.accuracy, point.operations or 0.0, point) for point in points if point.accuracy is not None]
    if not tried:
        raise ConfigError("the training of every setting diverged; try lower learning rates")
    best = max(accuracy for accuracy, _, _ in tried)
    standard_error = (best * (1 - best) / tried[0][2].samples) ** 0.5
    equal = [each for each in tried if each[0] >= best - tolerance * standard_error]
    return min(equal, key=lambda each: (each[1], -each[0]))[2]
