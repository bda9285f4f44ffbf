"""Statistics of the thresholds and neurons of each layer, for the card."""

import numpy as np
import torch
from torch import Tensor

from contract.layer_statistics import Histogram, LayerStatistics
from training.data import Samples
from training.export.network_inputs import network_inputs
from training.snn.encode import EventInput, ImageInput
from training.snn.network import SpikingNetwork

BINS = 20
MAX_SAMPLES = 1_000


@torch.inference_mode()
def layer_statistics(
    before: SpikingNetwork, after: SpikingNetwork, encoder: ImageInput | EventInput, samples: Samples
) -> tuple[LayerStatistics, ...]:
    """Statistics of each layer of the inference form `after`; `before` is the network before training.

    The neurons are watched on the first 1,000 of `samples`, which are encoded with seed 0.
    """
    some = samples.subset(torch.arange(min(MAX_SAMPLES, len(samples))))
    ever, always = _watch(after, encoder, some)
    found = []
    for name, layer in after.spiking_layers().items():
        thresholds = layer.neurons.threshold.double()
        start = before.spiking_layers()[name].neurons.threshold.double()
        found.append(
            LayerStatistics(
                layer=name,
                mean=float(thresholds.mean()),
                std=float(thresholds.std(correction=0)),
                minimum=float(thresholds.min()),
                not_positive=float((thresholds <= 0).double().mean()),
                histogram=_histogram(start.flatten().numpy(), thresholds.flatten().numpy()),
                samples=len(some),
                silent=int((~ever[name]).sum()),
                saturated=int(always[name].sum()),
            )
        )
    return tuple(found)


def _watch(
    network: SpikingNetwork, encoder: ImageInput | EventInput, samples: Samples
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Which neurons of each layer fired at least once, and which of them at every step of every sample."""
    ever: dict[str, Tensor] = {}
    always: dict[str, Tensor] = {}

    def watch(name: str, spikes: Tensor) -> None:
        ever[name] = ever.get(name, torch.tensor(False)) | spikes.amax((0, 1)).bool()
        always[name] = always.get(name, torch.tensor(True)) & spikes.amin((0, 1)).bool()

    hooks = [
        layer.neurons.register_forward_hook(lambda _, __, outputs, name=name: watch(name, outputs[0]))
        for name, layer in network.spiking_layers().items()
    ]
    for x in network_inputs(encoder, samples):
        network(x)
    for hook in hooks:
        hook.remove()
    return ever, always


def _histogram(before: np.ndarray, after: np.ndarray) -> Histogram:
    low, high = min(before.min(), after.min()), max(before.max(), after.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = [np.histogram(values, BINS, (low, high))[0].tolist() for values in (before, after)]
    return Histogram(low=float(low), high=float(high), before=tuple(counts[0]), after=tuple(counts[1]))
