"""What a training configuration refuses."""

import pytest
from pydantic import ValidationError

from tests.tiny import tiny_image_config


@pytest.mark.parametrize("scale", ["relative", "robust"])
@pytest.mark.parametrize("floor", [None, 0.0, -0.1])
def test_a_surrogate_that_divides_by_thresholds_needs_a_floor_above_zero(scale: str, floor: float | None) -> None:
    with pytest.raises(ValidationError, match="set threshold_floor above 0"):
        tiny_image_config(surrogate_scale=scale, threshold_floor=floor)
    assert tiny_image_config(surrogate_scale=scale, threshold_floor=0.01).neuron.surrogate.scale == scale
