"""What a data set is here: samples in memory as tensors, with the names of their classes and where they come from."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]
from torch import Tensor

from contract.card import InputSpec
from training.data.bins import Bins
from training.data.checks import check_labels
from training.data.recordings import Recordings
from training.errors import DataError


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one size: `pixels` uint8 `[N, C, H, W]` and class ids `labels` int64 `[N]`."""

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.pixels.dtype != torch.uint8 or self.pixels.ndim != 4:
            raise DataError(f"pixels must be uint8 [N, C, H, W], not {self.pixels.dtype} {list(self.pixels.shape)}")
        check_labels(self.labels, len(self.pixels))

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> Self:
        """Return the images at `indices` (int64 `[M]`), in that order."""
        return type(self)(self.pixels[indices], self.labels[indices])


Samples = Images | Recordings | Bins


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set cut into a train and a test part.

    `labels` are the class names in the order of their ids, `attribution` names the authors and the licence.
    """

    name: str
    labels: tuple[str, ...]
    input: InputSpec
    train: Samples
    test: Samples
    attribution: str | None = None

    def __post_init__(self) -> None:
        if len(self.labels) < 2:
            raise DataError(f"{self.name}: there is one class only, {self.labels[0]!r}; at least two are needed")
        for part, samples in (("train", self.train), ("test", self.test)):
            if len(samples) == 0:
                raise DataError(f"{self.name}: the {part} part holds no sample")
            low, high = int(samples.labels.min()), int(samples.labels.max())
            if low < 0 or high >= len(self.labels):
                raise DataError(
                    f"{self.name}: the {part} part has class ids {low} to {high}, but {len(self.labels)} classes"
                )
            if isinstance(samples, Images) and samples.pixels.shape[1:] != self.input.shape:
                raise DataError(
                    f"{self.name}: the {part} images are {list(samples.pixels.shape[1:])}, not {self.input.shape}"
                )


def split_train(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Cut a training set in two, so that each class keeps its share: the rest to train on, `fraction` to validate on.

    `labels` is int64 `[N]`. Returns the rising indices of both parts; the same seed gives the same parts. A fraction of
    0 gives an empty second part. Raises `DataError` where a class is too small to be in both.
    """
    everything = np.arange(len(labels))
    if fraction == 0:
        return torch.from_numpy(everything), torch.empty(0, dtype=torch.int64)
    try:
        train, validation = train_test_split(everything, test_size=fraction, random_state=seed, stratify=labels.numpy())
    except ValueError as error:
        raise DataError(f"cannot put {fraction} of {len(labels)} samples aside for validation: {error}") from error
    return torch.from_numpy(np.sort(train)), torch.from_numpy(np.sort(validation))


def divide(labels: Tensor, *, count: int | None, validation_fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """The rising indices of the samples that a run trains on and of those that it validates on, of `count` or all."""
    chosen = torch.arange(len(labels)) if count is None else stratified(labels, count, seed)
    training, validation = split_train(labels[chosen], validation_fraction, seed)
    return chosen[training], chosen[validation]


def stratified(labels: Tensor, count: int, seed: int) -> Tensor:
    """The rising indices of `count` samples in which each class keeps its share, or of all where there are no more.

    `labels` is int64 `[N]`; the same seed gives the same samples.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    shuffled = labels.numpy()[order]
    place = np.empty(len(labels))  # of a sample within its class, from 0 to 1: the first ones are chosen
    for label in np.unique(shuffled):
        (members,) = np.nonzero(shuffled == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return torch.from_numpy(np.sort(order[np.argsort(place, kind="stable")[:count]]))
