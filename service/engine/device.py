"""`Device`: where networks run, named without torch."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from contract.errors import InvalidParameter

_NODES = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")  # of the drivers with which torch can have CUDA devices


@dataclass(frozen=True, slots=True)
class Device:
    """The CPU, or the CUDA device of an index; without an index, torch's present one."""

    type: Literal["cpu", "cuda"] = "cpu"
    index: int | None = None

    @classmethod
    def parse(cls, name: str) -> Self:
        """The device of `cpu`, `cuda` or `cuda:N`; `ValueError` for another name."""
        kind, colon, index = name.partition(":")
        if kind == "cuda":
            return cls("cuda", int(index) if colon else None)
        if name != "cpu":
            raise ValueError(f"there is no device {name!r}")
        return cls()

    def __str__(self) -> str:
        """The name, which torch understands too."""
        return self.type if self.index is None else f"{self.type}:{self.index}"


CPU = Device()


def choose_device(name: str) -> Device:
    """`auto` is CUDA if available, else the CPU; `InvalidParameter` for a CUDA device that does not exist.

    torch is imported only where there may be a GPU: it takes seconds, and more memory than the rest of the service.
    """
    if name == "auto":
        return Device("cuda") if may_have_gpu() and _cuda_devices() else CPU
    device = Device.parse(name)
    if device.type == "cuda" and (device.index or 0) >= (count := _cuda_devices()):
        raise InvalidParameter(f"SNN_DEVICE is {name!r}, but torch sees {count} CUDA devices")
    return device


def may_have_gpu(nodes: Path = Path("/dev")) -> bool:
    """Whether the system has a device node of a GPU's driver; always true where that does not tell."""
    return sys.platform != "linux" or any(found for pattern in _NODES for found in nodes.glob(pattern))


def _cuda_devices() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
