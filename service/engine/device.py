"""`auto`, `cpu` or `cuda:N` -> a `torch.device`."""

import torch

from contract.errors import InvalidParameter


def choose_device(wanted: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; `InvalidParameter` for CUDA where there is none."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidParameter(f"SNN_DEVICE is {wanted!r}, and torch sees {torch.cuda.device_count()} CUDA devices")
    return device
