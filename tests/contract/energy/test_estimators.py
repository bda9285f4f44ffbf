from pathlib import Path

import pytest

from contract.energy import ESTIMATORS, PROFILES, estimates
from contract.energy.constants import CONSTANTS
from contract.energy.work import Work
from tests.contract.energy.networks import LINEAR, layer

PAGE = (Path(__file__).parents[3] / "docs" / "energy.md").read_text()
DIRECT = Work((layer("pixels", spiking=False, constant=True, operations=60), layer("fc1")), timesteps=3, values=6)


def test_estimates_stand_side_by_side_by_name() -> None:
    found = estimates(["memory-yan", "operations"], LINEAR, PROFILES["cmos-45nm"])
    assert [each["estimator"] for each in found] == ["operations", "memory-yan"]
    for each in estimates(ESTIMATORS, LINEAR, PROFILES["loihi"], idle=LINEAR):
        assert each["estimate_nj"] == each["idle_nj"]
        assert [other["network"] for other in each["conventional"]] == [
            "dense-32-bit",
            "dense-8-bit",
            "quantized-matched",
        ]
        assert each["assumptions"]


def test_operations_cost_what_the_profile_says_and_name_what_they_leave_out() -> None:
    [found] = estimates(["operations"], DIRECT, PROFILES["cmos-45nm"])
    assert found["estimate_nj"] == pytest.approx((44 * 0.9 + 60 * 4.6) / 1000)
    assert found["first_layer_once_nj"] == pytest.approx((44 * 0.9 + 20 * 4.6) / 1000)
    updates = 8 * 3
    assert found["left_out_nj"] == pytest.approx(
        {"bias": updates * 0.9 / 1000, "leak": updates * 4.6 / 1000, "comparison": updates * 0.9 / 1000}
    )


def test_conventional_networks_of_operations() -> None:
    """48 synapses; matched to three steps are 2 bits; 20 of the first layer's inputs are not zero."""
    [found] = estimates(["operations"], DIRECT, PROFILES["cmos-45nm-int8"])
    dense, integer, matched = found["conventional"]
    two_bits = 3.7 * (2 / 32) ** 2 + 0.9 * 2 / 32
    assert dense["estimate_nj"] == pytest.approx(48 * 4.6 / 1000)
    assert integer["estimate_nj"] == pytest.approx(48 * 0.23 / 1000)
    assert matched["bits"] == 2
    assert matched["estimate_nj"] == pytest.approx(48 * two_bits / 1000)
    skipped = matched["zeros_skipped_nj"]
    assert skipped["low_nj"] == pytest.approx((20 + 44 / 3) * two_bits / 1000)
    assert skipped["high_nj"] == pytest.approx((20 + 24) * two_bits / 1000)


def test_a_conventional_network_of_8_bits_beats_the_spiking_one_on_fashion_mnist() -> None:
    """2,597,952 synapses, as the card says: 598 nJ against 5,186 nJ of the spiking network at 32 bits."""
    work = Work((layer("all", synapses=2_597_952, passes=4),), timesteps=4, values=784)
    [found] = estimates(["operations"], work, PROFILES["cmos-45nm"])
    assert found["conventional"][1]["estimate_nj"] == pytest.approx(598, abs=0.6)


def test_every_constant_has_a_source_and_stands_in_the_documents() -> None:
    rows = {cells[1]: cells for line in PAGE.splitlines() if len(cells := [c.strip(" `") for c in line.split("|")]) > 4}
    for constant in CONSTANTS.values():
        assert constant.source
        assert float(rows[constant.name][2].replace(",", "")) == pytest.approx(constant.value, rel=1e-3), constant.name
        assert rows[constant.name][3] == constant.unit
