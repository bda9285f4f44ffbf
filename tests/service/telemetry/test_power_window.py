"""Windows over counters that move as the real ones do; time is given, nothing sleeps."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.telemetry.energy_meter import EnergyMeter, NvmlMeter, RaplMeter
from service.telemetry.power_window import Power, PowerWindow
from tests.service.telemetry.powercap import zone

IDLE_W, BUSY_W = 30.0, 130.0


class Device:
    """A device that draws 30 W at rest and 130 W at work, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.joules = 0.0
        self.window: PowerWindow | None = None

    def pass_time(self, seconds: float, busy: float = 0.0) -> None:
        """`seconds` go by, a share `busy` of them at work, which is over when a reading is taken."""
        self.now += seconds
        self.joules += seconds * (busy * BUSY_W + (1 - busy) * IDLE_W)
        if self.window is not None:
            self.window.add_busy(seconds * busy)


class Nvml:
    """NVML, whose counter of millijoules moves every 100 ms."""

    NVMLError = OSError

    def __init__(self, device: Device) -> None:
        self.device = device
        self.seen = -1.0
        self.millijoules = 0.0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any) -> int:  # noqa: N802
        if int(self.device.now * 10) > int(self.seen * 10):
            self.seen, self.millijoules = self.device.now, self.device.joules * 1000
        return int(self.millijoules)


def run(window: PowerWindow, device: Device, seconds: int, busy: float = 0.0, step: float = 1.0) -> list[Power | None]:
    """The power after each second."""
    device.window = window
    found = []
    for _ in range(seconds):
        for _ in range(round(1 / step)):
            device.pass_time(step, busy)
        window.tick(device.now)
        found.append(window.power)
    return found


def nvml_window(device: Device) -> PowerWindow:
    return PowerWindow(NvmlMeter(Nvml(device), None))


def test_power_is_unknown_until_a_window_is_full() -> None:
    device = Device()
    found = run(nvml_window(device), device, 4, busy=1.0)
    assert found[:2] == [None, None]
    assert found[2] == Power(pytest.approx(BUSY_W), None, pytest.approx(2.0), "nvml")  # type: ignore[arg-type]


def test_a_window_has_at_most_ten_seconds() -> None:
    device = Device()
    last = run(nvml_window(device), device, 30, busy=1.0)[-1]
    assert last is not None
    assert last.window_s == pytest.approx(10.0)


def test_idle_power_is_apart_and_not_charged_to_work() -> None:
    device = Device()
    window = nvml_window(device)
    assert run(window, device, 5) == [None] * 5
    *_, last = run(window, device, 12, busy=0.25)
    assert last is not None
    assert last.idle_w == pytest.approx(IDLE_W)
    assert last.busy_w == pytest.approx(BUSY_W)


def test_energy_that_the_counter_shows_late_is_not_taken_for_idle_power() -> None:
    """The counter stands 100 ms behind; the work before the rest is still on its way."""
    device = Device()
    late = [0.0]
    window = PowerWindow(SimpleNamespace(source="nvml", read=lambda: late[0]))
    device.window = window
    for busy in [1.0] * 3 + [0.0] * 4:
        device.pass_time(0.9, busy)
        late[0] = device.joules
        device.pass_time(0.1, busy)
        window.tick(device.now)
    assert window.power is not None
    assert window.power.idle_w == pytest.approx(IDLE_W)


def test_a_partly_busy_device_that_never_rested_is_not_measured() -> None:
    device = Device()
    assert run(nvml_window(device), device, 12, busy=0.5) == [None] * 12


def test_too_little_work_is_not_measured_and_old_power_is_not_kept() -> None:
    device = Device()
    window = nvml_window(device)
    assert run(window, device, 4, busy=1.0)[-1] is not None
    assert run(window, device, 11)[-1] is None
    assert run(window, device, 11, busy=0.05)[-1] is None


def test_a_counter_that_moves_ten_times_a_second_is_read_over_seconds() -> None:
    """Work of 10 ms in each 40 ms, and readings that lie anywhere between two moves of the counter."""
    device = Device()
    nvml = Nvml(device)
    window = PowerWindow(NvmlMeter(nvml, None))
    device.pass_time(0.043)
    run(window, device, 5, step=0.04)
    for _ in range(12):
        for _ in range(25):
            device.pass_time(0.01, 1.0)
            device.pass_time(0.03)
            nvml.nvmlDeviceGetTotalEnergyConsumption(None)
        window.tick(device.now)
    assert window.power is not None
    assert window.power.busy_w == pytest.approx(BUSY_W, rel=0.1)


def test_rapl_counters_wrap_around_within_a_window(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0, range_uj=500_000_000)
    dram = zone(tmp_path, "intel-rapl:0:0", "dram", 0, range_uj=65_000_000)
    core = zone(tmp_path, "intel-rapl:0:1", "core", 0)
    device = Device()
    window = PowerWindow(RaplMeter(tmp_path))
    device.window = window
    for _ in range(20):
        device.pass_time(1.0, 1.0)
        package.write_text(str(int(device.joules * 0.9e6) % 500_000_000))
        dram.write_text(str(int(device.joules * 0.1e6) % 65_000_000))
        core.write_text(str(int(device.joules * 0.5e6)))
        window.tick(device.now)
        assert window.power is None or window.power.busy_w == pytest.approx(BUSY_W)
    assert window.power is not None
    assert (window.power.source, window.power.idle_w) == ("rapl", None)


@pytest.mark.parametrize("failure", ["lost", "reset"])
def test_a_counter_that_is_lost_or_begins_anew_starts_a_new_window(failure: str) -> None:
    device = Device()
    nvml = Nvml(device)
    window = PowerWindow(NvmlMeter(nvml, None))
    assert run(window, device, 5, busy=1.0)[-1] is not None
    if failure == "reset":
        device.joules = 0.0  # the driver was loaded again
    else:

        def lose(handle: Any) -> int:
            raise OSError

        nvml.nvmlDeviceGetTotalEnergyConsumption = lose  # type: ignore[method-assign]
    assert run(window, device, 1, busy=1.0) == [None]
    nvml.__dict__.pop("nvmlDeviceGetTotalEnergyConsumption", None)
    again = run(window, device, 4, busy=1.0)
    assert again[0] is None
    assert again[-1] is not None
    assert again[-1].busy_w == pytest.approx(BUSY_W)


def test_work_that_still_runs_counts_up_to_the_reading() -> None:
    window = PowerWindow(SimpleNamespace(source="nvml", read=lambda: time.perf_counter() * BUSY_W))
    start = time.perf_counter()
    window.tick(start)
    with window.busy():
        window.tick(start + 3.0)
    assert window.power is not None
    assert window.power.window_s == pytest.approx(3.0)


def test_the_thread_reads_by_itself_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.telemetry.power_window.TICK_S", 0.01)
    readings: list[float] = []

    def read() -> float:
        readings.append(0.0)
        return float(len(readings))

    meter: EnergyMeter = SimpleNamespace(source="rapl", read=read)
    window = PowerWindow(meter)
    window.start()
    until = time.monotonic() + 5
    while len(readings) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    window.stop()
    window._thread.join(5)
    assert len(readings) >= 3
    assert not window._thread.is_alive()


def test_a_meter_that_fails_ends_the_measurement_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.telemetry.power_window.TICK_S", 0.01)

    def read() -> float:
        raise RuntimeError("the library is gone")

    window = PowerWindow(SimpleNamespace(source="nvml", read=read))
    window.power = Power(1.0, None, 2.0, "nvml")
    window.start()
    window._thread.join(5)
    assert window.power is None
    assert "energy is no longer measured" in caplog.text
