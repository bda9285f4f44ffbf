from pathlib import Path

import pytest
import torch

from service.telemetry.energy_meter import NvmlMeter, RaplMeter, energy_meter
from tests.service.telemetry.powercap import zone


def test_packages_and_memory_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 100)
    core = zone(tmp_path, "intel-rapl:0:0", "core", 100)
    dram = zone(tmp_path, "intel-rapl:0:1", "dram", 100)
    platform = zone(tmp_path, "intel-rapl:1", "psys", 100)
    again = zone(tmp_path, "intel-rapl-mmio:0", "package-0", 100)
    meter = RaplMeter(tmp_path)
    assert meter.read() == 0
    for counter in (package, core, platform, again):
        counter.write_text("500100\n")
    dram.write_text("20100\n")
    assert meter.read() == pytest.approx(0.52)


def test_a_counter_that_wraps_around_goes_on(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 900_000, range_uj=1_000_000)
    meter = RaplMeter(tmp_path)
    meter.read()
    counter.write_text("100000")
    assert meter.read() == pytest.approx(0.2)
    counter.write_text("300000")
    assert meter.read() == pytest.approx(0.4)


def test_two_packages_wrap_by_their_own_ranges(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 900_000, range_uj=1_000_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 1_900_000, range_uj=2_000_000)
    meter = RaplMeter(tmp_path)
    meter.read()
    first.write_text("0")
    second.write_text("0")
    assert meter.read() == pytest.approx(0.2)


@pytest.mark.parametrize("content", ["", "no number"])
def test_a_counter_that_cannot_be_read_gives_nothing_rather_than_zero(tmp_path: Path, content: str) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 100)
    meter = RaplMeter(tmp_path)
    assert meter.read() == 0
    counter.write_text(content)
    assert meter.read() is None
    counter.unlink()
    assert meter.read() is None


def test_a_machine_without_counters_has_no_meter(tmp_path: Path) -> None:
    cpu = "cpu"
    assert energy_meter(cpu, tmp_path / "absent") is None
    zone(tmp_path, "intel-rapl:0", "psys", 100)
    assert energy_meter(cpu, tmp_path) is None
    zone(tmp_path, "intel-rapl:1", "package-0", 100)
    meter = energy_meter(cpu, tmp_path)
    assert meter is not None
    assert meter.read() == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_the_driver_there_is_no_cuda_meter() -> None:
    assert NvmlMeter.of("cuda:0") is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_energy_rises_with_work() -> None:
    pytest.importorskip("pynvml")
    device = "cuda:0"
    meter = energy_meter(device)
    assert meter is not None
    before = meter.read()
    matrix = torch.ones(4096, 4096, device=device)
    for _ in range(200):
        matrix = matrix @ matrix * 0
    torch.cuda.synchronize(device)
    after = meter.read()
    assert before is not None
    assert after is not None
    assert after > before
