import math

import pytest
import snntorch  # type: ignore[import-untyped]
import torch

from contract.card import SurrogateScale, ThresholdScope
from training.snn.neurons import LIF, threshold_shape
from training.snn.surrogate import arctan_slope


def lif(threshold: float, *, tau: float = 0.5) -> LIF:
    neurons = LIF((1,), tau=tau, alpha=2.0, scope="neuron")
    torch.nn.init.constant_(neurons.threshold, threshold)
    return neurons


def run(neurons: LIF, current: list[float]) -> tuple[list[float], float]:
    spikes, potential = neurons(torch.tensor(current).reshape(-1, 1, 1), neurons.initial_potential(1))
    return spikes.flatten().tolist(), float(potential.detach())


@pytest.mark.parametrize(
    ("current", "spikes", "potential"),
    [
        # v: 0.75, 0.375 + 0.75 = 1.125 fires and resets, 0.75, 1.125 fires and resets
        ([0.75, 0.75, 0.75, 0.75], [0, 1, 0, 1], 0.0),
        # v: 1 reaches the threshold exactly, which fires; then 0.5; then 0.25 + 0.5 = 0.75
        ([1.0, 0.5, 0.5], [1, 0, 0], 0.75),
        # v: 5 fires and resets to zero whatever was above the threshold; then nothing is left
        ([5.0, 0.0], [1, 0], 0.0),
        # v: -1, -0.5 + 1 = 0.5, 0.25 + 0.75 = 1 fires
        ([-1.0, 1.0, 0.75], [0, 0, 1], 0.0),
        # leak alone: 0.8, 0.4, 0.2, 0.1
        ([0.8, 0.0, 0.0, 0.0], [0, 0, 0, 0], 0.1),
    ],
)
def test_a_trace_worked_out_by_hand(current: list[float], spikes: list[float], potential: float) -> None:
    found = run(lif(1.0), current)
    assert found[0] == spikes
    assert found[1] == pytest.approx(potential)


def test_each_neuron_has_its_own_threshold() -> None:
    neurons = LIF((3,), tau=0.5, alpha=2.0, scope="neuron")
    neurons.threshold.data = torch.tensor([0.4, 0.6, 0.8])
    spikes, _ = neurons(torch.full((2, 1, 3), 0.5), neurons.initial_potential(1))
    assert spikes[:, 0].tolist() == [[1, 0, 0], [1, 1, 0]]


def test_threshold_shapes_follow_their_scope() -> None:
    assert threshold_shape((8, 5, 4), "neuron") == (8, 5, 4)
    assert threshold_shape((8, 5, 4), "channel") == (8, 1, 1)
    assert threshold_shape((8, 5, 4), "layer") == (1,)
    assert threshold_shape((10,), "channel") == (10,)


def slope(v: float) -> float:
    """The arctangent surrogate of alpha 2 at a threshold of one."""
    return 1 / (1 + (math.pi * (v - 1)) ** 2)


def test_the_surrogate_is_the_scaled_derivative_of_the_arctangent() -> None:
    potential = torch.tensor([0.2, 1.0, 1.7], dtype=torch.float64)
    found = arctan_slope(potential, torch.tensor(1.0, dtype=torch.float64), 2.0)
    assert found.tolist() == pytest.approx([slope(v) for v in potential.tolist()])
    x = torch.linspace(-2000, 2000, 4_000_001, dtype=torch.float64)
    area = torch.trapezoid(arctan_slope(x, torch.zeros(1, dtype=torch.float64), 3.0), x)
    assert float(area) == pytest.approx(1.0, abs=1e-3)


def test_the_gradient_through_time_and_reset_matches_a_chain_worked_out_by_hand() -> None:
    """Two steps, the first fires: d(s2)/dI1 = g(v2) * tau * ((1 - s1) - v1 * g(v1))."""
    neurons = lif(1.0)
    current = torch.tensor([1.25, 0.9], requires_grad=True)
    spikes, _ = neurons(current.reshape(2, 1, 1), neurons.initial_potential(1))
    spikes[1].sum().backward()
    v1, v2 = 1.25, 0.9  # the first step fires, so nothing is carried over
    assert current.grad is not None
    assert current.grad.tolist() == pytest.approx([slope(v2) * 0.5 * ((1 - 1) - v1 * slope(v1)), slope(v2)])
    assert neurons.threshold.grad is not None
    assert float(neurons.threshold.grad) == pytest.approx(-slope(v2) + slope(v2) * 0.5 * v1 * slope(v1))


def fire(potential: torch.Tensor, threshold: torch.Tensor, scale: SurrogateScale) -> torch.Tensor:
    """Spikes whose derivative is that of the arctangent, with alpha 2, left to autograd."""
    distance = potential - threshold if scale == "absolute" else potential / threshold - 1
    smooth = torch.atan(math.pi * distance) / math.pi
    if scale == "robust":
        smooth = smooth * threshold.detach()
    return (potential >= threshold).to(potential.dtype) + smooth - smooth.detach()


@pytest.mark.parametrize("scale", ["absolute", "relative", "robust"])
@pytest.mark.parametrize("scope", ["neuron", "channel", "layer"])
def test_gradients_equal_those_of_autograd_over_a_plain_loop(scope: ThresholdScope, scale: SurrogateScale) -> None:
    generator = torch.Generator().manual_seed(5)
    neurons = LIF((3, 4, 2), tau=0.7, alpha=2.0, scope=scope, scale=scale).double()
    neurons.threshold.data.uniform_(0.3, 1.0, generator=generator)
    arguments = [torch.randn((6, 5, 3, 4, 2), dtype=torch.float64, generator=generator) + 0.4]
    arguments += [torch.randn((5, 3, 4, 2), dtype=torch.float64, generator=generator)]
    weights = torch.randn((6, 5, 3, 4, 2), dtype=torch.float64, generator=generator)

    results = []
    for ours in (True, False):
        current, potential = (argument.clone().requires_grad_() for argument in arguments)
        threshold = neurons.threshold
        threshold.grad = None
        if ours:
            spikes, after = neurons(current, potential)
        else:
            steps, after = [], potential
            for now in current:
                after = 0.7 * after + now
                fired = fire(after, threshold, scale)
                after = after * (1 - fired)
                steps.append(fired)
            spikes = torch.stack(steps)
        ((spikes * weights).sum() + after.square().sum()).backward()
        results.append([spikes.detach(), after.detach(), current.grad, potential.grad, threshold.grad])
    for found, expected in zip(*results, strict=True):
        assert found is not None
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("tau", [0.0, 0.25, 0.5, 0.9])
def test_spikes_and_potentials_equal_those_of_snntorch(tau: float) -> None:
    generator = torch.Generator().manual_seed(3)
    current = torch.randn((12, 4, 6), generator=generator) + 0.6
    threshold = torch.rand(6, generator=generator) + 0.5

    neurons = LIF((6,), tau=tau, alpha=2.0, scope="neuron")
    neurons.threshold.data = threshold.clone()
    with torch.no_grad():
        spikes, potential = neurons(current, neurons.initial_potential(4))

    leaky = snntorch.Leaky(beta=tau, threshold=threshold, reset_mechanism="zero")
    membrane, expected = torch.zeros(4, 6), []
    for now in current:
        spike, membrane = leaky(now, membrane)
        expected.append(spike)
    assert torch.equal(spikes, torch.stack(expected))
    # snnTorch resets at the start of the next step
    torch.testing.assert_close(potential, membrane * (1 - expected[-1]))
    assert 0.1 < float(spikes.mean()) < 0.9
