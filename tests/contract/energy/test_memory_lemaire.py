"""The numbers of SpikingJelly 2.0.0, and a second implementation that visits every access.

The literals are `estimate_lemaire_energy(network, (inputs,)).breakdown_pj` of single-step networks at batch 1, called T
times, for instance after `torch.manual_seed(0)`:

    Steps(nn.Linear(6, 4), LIFNode(tau=2.0, v_threshold=0.3), nn.Linear(4, 2, bias=False), LIFNode(...))

with 11 spikes in (rand(3, 1, 6) < 0.5), where `Steps` calls its layers in turn for each time step.
"""

import pytest

from contract.energy.memory_lemaire import byte_pj, conventional_pj, estimate_lemaire, spiking_pj
from contract.energy.work import Work
from tests.contract.energy.networks import LINEAR, layer

# Conv2d(1, 2, 3, padding=1) on 5 x 5 with three spikes away from the border, then Linear(50, 3). SpikingJelly takes no
# notice of borders: 25 x 9 x 2 synapses.
CONVOLUTION = Work(
    (
        layer(
            "conv1",
            operations=54,
            spikes=2,
            neurons=50,
            synapses=450,
            weights=18,
            inputs=25,
            kernel=3,
            channels=2,
            passes=2,
        ),
        layer("vote", operations=6, neurons=3, synapses=150, weights=150, inputs=50, channels=3, passes=2),
    ),
    timesteps=2,
    values=25,
)
ANALOG_LINEAR = Work(
    (layer("fc1", spiking=False, neurons=5, synapses=40, weights=40, inputs=8, channels=5, passes=2),),
    timesteps=2,
    values=8,
)
ANALOG_CONVOLUTION = Work(
    (
        layer(
            "conv1",
            spiking=False,
            spikes=46,
            neurons=48,
            synapses=48,
            weights=3,
            inputs=16,
            kernel=1,
            channels=3,
            passes=2,
        ),
    ),
    timesteps=2,
    values=16,
)
# Conv2d(1, 3, 1) on 4 x 4, then Linear(48, 5, bias=False), without neurons
DENSE = Work(
    (
        layer("conv1", neurons=48, synapses=48, weights=3, inputs=16, kernel=1, channels=3),
        layer("fc1", neurons=5, synapses=240, weights=240, inputs=48, channels=5, biased=False),
    ),
    timesteps=3,
    values=16,
)


@pytest.mark.parametrize(
    ("work", "operations", "addressing", "memory"),
    [
        (LINEAR, 63.2, 4.4, 63.671875),
        (CONVOLUTION, 356.0, 25.2, 133.73046875),
        (ANALOG_LINEAR, 289.0, 2.6, 20.888671875),
        (ANALOG_CONVOLUTION, 628.6, 13.4, 282.734375),
    ],
    ids=["linear", "convolution", "analog linear", "analog convolution"],
)
def test_the_parts_are_those_of_spikingjelly(work: Work, operations: float, addressing: float, memory: float) -> None:
    parts = spiking_pj(work)
    assert parts.operations == pytest.approx(operations)
    assert parts.addressing == pytest.approx(addressing)
    assert parts.memory == pytest.approx(memory)
    assert parts.total == pytest.approx(operations + addressing + memory)


def test_the_conventional_network_is_that_of_spikingjelly() -> None:
    assert conventional_pj(DENSE, 32) == pytest.approx(1248.8345703125)


def test_a_visit_to_every_access_costs_the_same() -> None:
    """Linear 6 to 4 with a bias, three steps, spikes at inputs 0..3, 0..3 and 0..2; then a silent 4 to 2 without."""
    pj = 0.0
    weights, potentials, queue = byte_pj((24 + 4) * 4), byte_pj(4 * 4), byte_pj(1000 * 4)
    for step in ([0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2]):
        for _ in step:
            pj += 4 * queue
            for _ in range(4):
                pj += 0.1 + 0.1 + 4 * weights + 2 * 4 * potentials
        for _ in range(4):
            pj += 0.1 + 4 * weights  # bias
            pj += 0.1 + 3.1 + 2 * 4 * potentials  # leak
        for _ in range(2):
            pj += 0.1 + 3.1 + 2 * 4 * byte_pj(2 * 4)
    assert spiking_pj(LINEAR).total == pytest.approx(pj)


def test_a_byte_costs_more_in_a_larger_memory() -> None:
    published = [(0, 0.0), (4096, 1.25), (8192, 2.5), (32 * 1024, 5.0), (540_672, 15.0), (2**20, 25.0), (2**30, 25.0)]
    for capacity, cost in published:
        assert byte_pj(capacity) == pytest.approx(cost)


def test_fewer_bits_and_skipped_zeros_make_the_conventional_network_cheaper() -> None:
    networks = {each["network"]: each for each in estimate_lemaire(CONVOLUTION)["conventional"]}
    matched = networks["quantized-matched"]
    skipped = matched["zeros_skipped_nj"]
    costs = [networks["dense-32-bit"], networks["dense-8-bit"], matched]
    assert [each["bits"] for each in costs] == [32, 8, 2]
    prices = [each["estimate_nj"] for each in costs]
    assert isinstance(prices[2], float)
    assert prices == sorted(prices, reverse=True)  # type: ignore[type-var]
    assert skipped["low_nj"] < skipped["high_nj"] < prices[2]


def test_the_blank_input_and_the_first_layer_once_are_parts_of_the_estimate() -> None:
    direct = Work((layer("fc1", spiking=False, constant=True),), timesteps=3, values=6)
    found = estimate_lemaire(direct, idle=LINEAR)
    assert found["idle_nj"] == pytest.approx(0.131271875)
    assert found["first_layer_once_nj"] == pytest.approx(spiking_pj(direct.first_layer_once()).total / 1000)
    assert "first_layer_once_nj" not in estimate_lemaire(LINEAR)
