"""Energy that the hardware itself has counted: NVML on NVIDIA, RAPL (`/sys/class/powercap`) on x86.

Both count everything on the device or in the processor package, so a batch is charged with whatever ran beside it.
"""

import importlib
import logging
from pathlib import Path
from typing import Any, Protocol

import torch

POWERCAP = Path("/sys/class/powercap")

log = logging.getLogger(__name__)


class EnergyMeter(Protocol):
    """A counter of joules; the energy of an interval is the difference of two readings."""

    def read(self) -> float | None:
        """Joules since some fixed moment, never falling; None when it cannot be read."""


class RaplMeter:
    """The processor packages and their memory, by the kernel's powercap files.

    A zone's counter wraps around at `max_energy_range_uj`; one wrap between two readings is undone. Zones inside a
    package (cores, graphics) are part of it and are not added. The files are readable by root alone on most systems.
    """

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self._zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if _is_counted(zone)]
        self._last: dict[Path, int] = {}
        self._total_uj = 0

    def read(self) -> float | None:
        """Joules of all zones since the first reading; None when there is no zone, or one cannot be read."""
        try:
            for zone in self._zones:
                now = _microjoules(zone / "energy_uj")
                last = self._last.get(zone, now)
                wrapped = _microjoules(zone / "max_energy_range_uj") if now < last else 0
                self._total_uj += now + wrapped - last
                self._last[zone] = now
        except (OSError, ValueError):
            return None
        return self._total_uj / 1e6 if self._zones else None


class NvmlMeter:
    """One CUDA device, by NVML's total energy counter (millijoules since the driver was loaded, Volta and later)."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def read(self) -> float | None:
        """Joules since the driver was loaded; None when NVML does not tell."""
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3
        except self._nvml.NVMLError:
            return None

    @classmethod
    def of(cls, device: torch.device) -> "NvmlMeter | None":
        """The meter of a CUDA device; None without the `nvidia-ml-py` package or the driver's library."""
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return None
        try:
            nvml.nvmlInit()
            # By UUID: NVML does not know CUDA_VISIBLE_DEVICES, so its indices may be others than torch's.
            return cls(nvml, nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}"))
        except nvml.NVMLError:
            return None


def energy_meter(device: torch.device, powercap: Path = POWERCAP) -> EnergyMeter | None:
    """The meter of `device`, or None where nothing can be read."""
    meter = NvmlMeter.of(device) if device.type == "cuda" else RaplMeter(powercap)
    readable = meter is not None and meter.read() is not None
    log.info("energy of %s is %s", device, "measured" if readable else "not measured: no counter can be read")
    return meter if readable else None


def _is_counted(zone: Path) -> bool:
    try:
        name = (zone / "name").read_text().strip()
    except OSError:
        return False
    return name.startswith("package") or name == "dram"


def _microjoules(file: Path) -> int:
    return int(file.read_text())
