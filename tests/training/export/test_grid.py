import math

import pytest
import torch

from training.export.grid import grid_exponent, to_grid


def test_values_go_to_the_nearest_multiple_with_ties_to_even() -> None:
    values = torch.tensor([0.26, -0.26, 0.125, 0.375, 1.0])
    assert to_grid(values, 2).tolist() == [0.25, -0.25, 0.0, 0.5, 1.0]


def test_the_largest_weight_takes_at_most_1023_steps_and_no_finer_grid_would() -> None:
    weight = torch.tensor([[0.3, -0.7], [0.1, 0.2]])
    exponent = grid_exponent(weight, None, 1)
    assert 0.7 * 2**exponent <= 1023 < 0.7 * 2 ** (exponent + 1)
    assert exponent == 10


@pytest.mark.parametrize("max_input", [1, 255])
def test_the_grid_coarsens_until_every_sum_is_below_two_to_the_24(max_input: int) -> None:
    weight = torch.full((2, 30_000), 1.0)
    weight[0, 0] = 0.001
    exponent = grid_exponent(weight, None, max_input)
    steps = to_grid(weight, exponent).double().abs().sum(1).max() * 2.0**exponent * max_input
    assert steps < 2**24 <= steps * 2


def test_a_large_bias_counts_towards_the_sum() -> None:
    weight = torch.tensor([[1.0, 1.0]])
    assert grid_exponent(weight, torch.tensor([100_000.0]), 1) == math.floor(math.log2(2**24 / 100_002))
    assert grid_exponent(weight, torch.tensor([1.0]), 1) == 9


def test_a_layer_of_zeros_has_a_grid() -> None:
    weight = torch.zeros(2, 3)
    assert torch.equal(to_grid(weight, grid_exponent(weight, None, 1)), weight)


def test_sums_on_the_grid_are_exact_in_float32_in_any_order() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 5000, generator=generator)
    weight = to_grid(weight, grid_exponent(weight, None, 1))
    spikes = (torch.rand(5000, generator=generator) < 0.5).float()
    exact = weight.double() @ spikes.double()
    for _ in range(5):
        order = torch.randperm(5000, generator=generator)
        sequential = (weight * spikes)[:, order].cumsum(1)[:, -1]
        assert torch.equal(sequential.double(), exact)
