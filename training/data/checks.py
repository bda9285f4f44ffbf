"""The rules for samples of every kind."""

import torch
from torch import Tensor

from training.errors import DataError


def check_labels(labels: Tensor, count: int) -> None:
    """Check that there are `count` class ids, int64; `DataError` otherwise."""
    if labels.dtype != torch.int64 or labels.shape != (count,):
        raise DataError(f"labels must be int64 [{count}], not {labels.dtype} {list(labels.shape)}")
