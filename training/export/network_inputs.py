"""Samples as a network's input, batch by batch, encoded as the service does by default."""

from collections.abc import Iterator

import torch
from torch import Tensor

from training.data import Bins, Images, Samples
from training.data.batches import ordered_batches
from training.data.bins import network_input
from training.snn.encode import EventInput, ImageInput


def network_inputs(encoder: ImageInput | EventInput, samples: Samples, batch_size: int = 100) -> Iterator[Tensor]:
    """Network input `[T, B, C, H, W]` of all samples, in order and with seed 0."""
    for inputs, labels in ordered_batches(samples, batch_size):
        if isinstance(samples, Images):
            yield encoder.image(inputs, torch.zeros(len(labels), dtype=torch.int64))
        elif isinstance(samples, Bins):
            yield network_input(inputs)
        else:
            yield encoder.events(inputs, len(labels))
