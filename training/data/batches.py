"""Batches for the network: whole slices of a data set, in an order that seed and epoch alone decide."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from training.data import Bins, Images, Samples

Batch = tuple[Tensor, Tensor]


def make_batch(samples: Samples, indices: Tensor) -> Batch:
    """Samples and labels int64 `[B]`.

    Samples are pixels uint8 `[B, C, H, W]`, events int64 `[N, 5]` (sample, t, x, y, p) or bins uint8 `[B, T, C, H, W]`.
    """
    part = samples.subset(indices)
    if isinstance(part, Images):
        return part.pixels, part.labels
    if isinstance(part, Bins):
        return part.unpack(), part.labels
    sample = torch.repeat_interleave(torch.arange(len(part)), part.lengths)
    return torch.cat([sample.unsqueeze(1), part.unpack()], 1), part.labels


def ordered_batches(samples: Samples, batch_size: int) -> Iterator[Batch]:
    """All samples in their order."""
    for indices in torch.arange(len(samples)).split(batch_size):
        yield make_batch(samples, indices)


class _Slices(Dataset[Batch]):
    """Lets torch's loader fetch a batch at once instead of sample by sample."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        return make_batch(self.samples, torch.tensor([index]))

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        return make_batch(self.samples, torch.tensor(indices))


def _as_it_is(batch: Any) -> Any:
    return batch


def loader(samples: Samples, batch_size: int, *, seed: int, shuffle: bool) -> DataLoader[Batch]:
    """A loader for the trainer, which tells the sampler the epoch: its order is a function of seed and epoch.

    A last training batch of a single sample is left out: batch norm may find no statistics in it.
    """
    slices = _Slices(samples)
    alone = shuffle and len(slices) % batch_size == 1
    sampler: DistributedSampler[Batch] = DistributedSampler(slices, num_replicas=1, rank=0, shuffle=shuffle, seed=seed)
    return DataLoader(slices, batch_size=batch_size, sampler=sampler, collate_fn=_as_it_is, drop_last=alone)


def step_seed(seed: int, epoch: int, step: int, rank: int) -> int:
    """One seed for everything random in one training step, so that a resumed run draws what the first would have."""
    return int(np.random.SeedSequence([seed, epoch, step, rank]).generate_state(1, np.uint64)[0] >> 1)
