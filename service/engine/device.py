"""`auto`, `cpu` or `cuda:N` -> a `torch.device`."""

import torch

from contract.errors import InvalidParameter


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA if available, else the CPU; `InvalidParameter` for a CUDA device that does not exist."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidParameter(f"SNN_DEVICE is {name!r}, but torch sees {torch.cuda.device_count()} CUDA devices")
    return device
