import pytest

from contract.energy.activity import crossover_activity, matched_bits
from contract.energy.constants import DRAM_PJ_PER_BIT, REGISTER_PJ_PER_BIT, SRAM_PJ_PER_BIT
from contract.energy.memory_yan import Widths, conventional_pj, crossover, estimate_yan, spiking_pj
from contract.energy.work import Work
from tests.contract.energy.networks import LINEAR, layer

# N-MNIST, 16C5-MP2-32C5-MP2-FC128-VOTE10, ten steps: the operations of the answer in docs/http.md, as one layer.
NMNIST = Work(
    (layer("all", operations=11_037_656, spikes=48_000, neurons=27_972, synapses=4_331_008, passes=10),),
    timesteps=10,
    values=2 * 34 * 34,
)


@pytest.mark.parametrize(
    ("weight_pj_per_bit", "microjoules"),
    [(REGISTER_PJ_PER_BIT, 3.30), (SRAM_PJ_PER_BIT, 61.4), (DRAM_PJ_PER_BIT, 3590)],
    ids=["register", "sram", "dram"],
)
def test_the_worked_case_of_one_recording(weight_pj_per_bit: float, microjoules: float) -> None:
    found = spiking_pj(NMNIST, weight_pj_per_bit, Widths(weight=16, potential=16)) / 1e6
    assert found == pytest.approx(microjoules, rel=0.005)


def test_the_activity_of_the_worked_case_is_far_above_its_crossover() -> None:
    activity = NMNIST.accumulates / (NMNIST.synapses * NMNIST.timesteps)
    assert activity == pytest.approx(0.255, abs=0.0005)
    assert crossover_activity(10) == pytest.approx(0.036, abs=0.0005)
    assert NMNIST.accumulates * 0.9 / 1e6 == pytest.approx(9.93, abs=0.005)  # `operations` at 45 nm


def test_a_second_implementation_adds_up_each_event() -> None:
    """Three steps; 44 accumulates and no spike: every weight of 11 bits and potential of 24 bits is moved by itself."""
    pj = 0.0
    for _ in range(44):
        pj += 0.05448
        for _ in range(11):
            pj += 5.302477904 / 16
    for _ in range(3):
        for _ in range(6):
            pj += 0.05448  # comparison
            for _ in range(24):
                pj += 0.25 + 0.25  # read, write
    assert spiking_pj(LINEAR, SRAM_PJ_PER_BIT) == pytest.approx(pj)
    matched = 32 * (3.7 / 256 + 0.9 / 16) + 2 * 6 * 0.05448 + 32 * 2 * 5.302477904 / 16 + (6 + 6) * 2 * 0.25
    assert conventional_pj(LINEAR, 2, SRAM_PJ_PER_BIT) == pytest.approx(matched)


def test_pixels_are_multiplied() -> None:
    pixels = Work((layer("fc1", spiking=False, operations=10, neurons=0, spikes=5),), timesteps=1, values=6)
    multiply = 3.7 * (11 / 32) ** 2 + 0.9 * 11 / 32
    assert spiking_pj(pixels, 0.5) == pytest.approx(10 * (multiply + 11 * 0.5) + 5 * 0.05448)


@pytest.mark.parametrize("price", [REGISTER_PJ_PER_BIT, SRAM_PJ_PER_BIT, DRAM_PJ_PER_BIT])
def test_at_the_crossover_both_networks_cost_the_same(price: float) -> None:
    work = Work((layer("all", operations=1000, spikes=10, neurons=5, synapses=4_000, passes=4),), 4, values=50)
    activity = crossover(work, price)
    assert activity is not None
    operations = activity * 4_000 * 4
    there = Work(
        (layer("all", operations=operations, spikes=operations / 100, neurons=5, synapses=4_000, passes=4),),
        4,
        values=50,
    )
    assert spiking_pj(there, price) == pytest.approx(conventional_pj(there, 3, price))


def test_the_crossover_approaches_its_limit_where_fetches_outweigh_the_rest() -> None:
    for timesteps, weight_bits, limit in [(5, 8, 0.075), (10, 8, 0.05), (4, 11, 0.068), (10, 11, 0.036)]:
        assert crossover_activity(timesteps, weight_bits) == pytest.approx(limit, abs=0.0005)
        work = Work((layer("all", neurons=10, synapses=1_000_000, passes=timesteps),), timesteps=timesteps, values=100)
        found = crossover(work, DRAM_PJ_PER_BIT, Widths(weight_bits, 8))
        assert found == pytest.approx(crossover_activity(timesteps, weight_bits), rel=0.01)


def test_many_neurons_and_few_synapses_leave_no_crossover() -> None:
    assert crossover(LINEAR, REGISTER_PJ_PER_BIT) is None
    assert estimate_yan(LINEAR)["crossover_by_memory"]["register"] is None


def test_matched_bits_hold_every_count_of_spikes() -> None:
    assert [matched_bits(steps) for steps in (1, 2, 3, 4, 7, 8, 10, 15, 16)] == [1, 2, 2, 3, 3, 4, 4, 4, 5]


def test_the_estimate_ranges_from_registers_to_dram() -> None:
    found = estimate_yan(NMNIST, idle=LINEAR)
    by_memory = found["by_memory_nj"]
    assert found["estimate_nj"] == {"low_nj": by_memory["register"], "high_nj": by_memory["dram"]}
    assert by_memory["register"] < by_memory["sram"] < by_memory["dram"]
    matched = found["conventional"][2]
    assert matched["bits"] == 4
    assert matched["zeros_skipped_nj"]["high_nj"] <= matched["estimate_nj"]["high_nj"]  # type: ignore[index]
    assert any("11 bits" in each for each in found["assumptions"])
