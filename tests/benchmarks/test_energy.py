"""Measured against estimated energy, with counters and networks that are known."""

import argparse
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import energy
from benchmarks.energy_table import measured_workload, row
from contract.card import read_card
from contract.energy import ESTIMATORS, PROFILES, estimates_of
from event_engine.library import built_libraries


class Work:
    """Work of a known number of joules, on a device that draws 5 W at rest: the time of the test's own clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.joules = 0.0
        self.meter = SimpleNamespace(source="rapl", read=lambda: self.joules)
        monkeypatch.setattr(energy, "time", SimpleNamespace(perf_counter=lambda: self.now, sleep=self.rest))

    def rest(self, seconds: float) -> None:
        self.now += seconds
        self.joules += 5 * seconds

    def __call__(self) -> None:
        self.rest(0.25)
        self.joules += 2.0


def test_the_energy_of_a_sample_is_what_comes_on_top_of_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch)
    joules, seconds, calls = energy.run_for(work.meter, 2.0)
    assert joules / seconds == pytest.approx(5.0)
    assert calls == 0
    assert energy.millijoules(work.meter, work, 3.0, idle_w=5.0, samples=8) == pytest.approx(2000 / 8)


def test_numbers_are_multiples_of_the_first_row() -> None:
    assert energy.times(30.0, 20.0) == "1.50 x 20 nJ"
    assert energy.times(30.0, -1.0) == "not above rest"


@pytest.mark.skipif(not built_libraries(), reason="needs the event engine")
def test_without_a_counter_only_estimates_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    energy.compare(None, argparse.Namespace(network="mnist-stl", batch_size=2, seconds=0.1, quick=True))
    printed = capsys.readouterr().out
    assert "no counter can be read here" in printed
    rows = [line for line in printed.splitlines() if "not measured" in line]
    assert len(rows) == 2
    assert "1.00 x " in rows[0]


@pytest.mark.skipif(not built_libraries(), reason="needs the event engine")
def test_measured_energy_stands_beside_the_estimates(capsys: pytest.CaptureFixture[str]) -> None:
    readings = iter([0.0, 1.0, *(float(10**power) for power in range(2, 8))])
    meter = SimpleNamespace(source="rapl", read=lambda: next(readings))
    energy.compare(meter, argparse.Namespace(network="mnist-stl", batch_size=2, seconds=0.1, quick=True))
    printed = capsys.readouterr().out
    assert "at rest 1" in printed or "at rest 9" in printed  # 1 J in 0.1 s
    assert "not measured" not in printed
    assert len([line for line in printed.splitlines() if "1.00 x " in line and "%" in line]) >= 1


def test_a_row_says_where_a_model_stands(tiny_store_root: Path) -> None:
    card = read_card(tiny_store_root / "tiny-direct" / "1" / "model.pt")
    assert card.workload is not None
    name, activity, crossover, blank, zero, operations, lemaire, yan = row(card, card.workload)
    assert name == "`tiny-direct`"
    assert activity == f"{card.workload.synaptic_activity:.1%}"
    assert crossover == f"{3 / (11 * 4):.1%}"
    assert blank.endswith("%")
    assert zero.endswith("%")
    synops = [each.operations for each in card.workload.layers]
    spikes = [card.metrics.firing_rate[each.name] * each.neurons * 4 for each in card.spiking_layers]
    found = estimates_of(card, synops, spikes, ESTIMATORS, PROFILES["cmos-45nm"])
    spiking = [found[0]["estimate_nj"], found[1]["estimate_nj"], found[2]["by_memory_nj"]["sram"]]
    for cell, nanojoules in zip((operations, lemaire, yan), spiking, strict=True):
        assert isinstance(nanojoules, float)
        assert cell.split(" / ")[0] == f"{nanojoules / 1000:.3g}"
        assert len(cell.split(" / ")) == 3


def test_what_an_older_card_lacks_is_measured(tiny_store_root: Path) -> None:
    checkpoint = tiny_store_root / "tiny-direct" / "1" / "model.pt"
    card = read_card(checkpoint)
    assert measured_workload(card, checkpoint, None) == card.workload
