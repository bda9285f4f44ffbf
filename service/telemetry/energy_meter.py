"""Energy measured by the hardware: NVML on NVIDIA, RAPL (`/sys/class/powercap`) on x86.

Both count everything on the device or in the processor package, including other work at the same time.
"""

import importlib
import logging
from pathlib import Path
from typing import Any, Protocol

POWERCAP = Path("/sys/class/powercap")

log = logging.getLogger(__name__)


class EnergyMeter(Protocol):
    """A counter of joules; the energy of an interval is the difference between two readings."""

    source: str

    def read(self) -> float | None:
        """Joules since a fixed moment, never decreasing; None if the counter cannot be read."""


class RaplMeter:
    """The processor packages and their memory, read from the kernel's powercap files.

    A zone's counter wraps around at `max_energy_range_uj`; one wrap between two readings is corrected. Zones inside a
    package (cores, graphics) are part of it and are not added. On most systems only root can read the files.
    """

    source = "rapl"

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self._zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if _is_counted(zone)]
        self._last: dict[Path, int] = {}
        self._total_uj = 0

    def read(self) -> float | None:
        """Joules of all zones since the first reading; None if there is no zone, or one cannot be read."""
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
    """One CUDA device, read from NVML's total energy counter (Volta and later), which moves about every 100 ms."""

    source = "nvml"

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def read(self) -> float | None:
        """Joules since the driver was loaded; None if NVML does not report them."""
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3
        except self._nvml.NVMLError:
            return None

    @classmethod
    def of(cls, device: str) -> "NvmlMeter | None":
        """The meter of a CUDA device; None without the `nvidia-ml-py` package or the driver's library."""
        import torch  # a service without CUDA need not load it

        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return None
        try:
            nvml.nvmlInit()
            # By UUID: NVML ignores CUDA_VISIBLE_DEVICES, so its indices may differ from torch's.
            return cls(nvml, nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}"))
        except nvml.NVMLError:
            return None


def energy_meter(device: str, powercap: Path = POWERCAP) -> EnergyMeter | None:
    """The meter of `device`, such as `cpu` or `cuda:0`, or None if no counter can be read."""
    meter = NvmlMeter.of(device) if device.startswith("cuda") else RaplMeter(powercap)
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
