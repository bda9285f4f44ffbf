"""Measurements of a trained network for the results of a study."""

import hashlib

import torch

from contract.card import Layer
from training.data import Bins, Samples
from training.data.batches import make_batch
from training.data.bins import network_input
from training.export.evaluate import Evaluation, metrics
from training.snn.encode import EventInput, ImageInput
from training.snn.network import SpikingNetwork
from training.study.packing import pack_bits, pack_numbers
from training.study.result import InitialThresholds, Measurement, Raster


def measurement(evaluation: Evaluation, samples: Samples, layers: tuple[Layer, ...], timesteps: int) -> Measurement:
    """An evaluation of `samples` for the results."""
    means = metrics(evaluation, layers, timesteps)
    return Measurement(
        samples=evaluation.samples,
        accuracy=evaluation.accuracy,
        correct=pack_bits((evaluation.predictions == samples.labels).numpy()),
        votes=pack_numbers(evaluation.votes.numpy()),
        spikes=means.spikes_per_sample,
        spikes_by_step=evaluation.spikes_by_step.tolist(),
        operations=means.synops_per_sample,
        operations_by_step=evaluation.synops_by_step.tolist(),
        accumulates=means.accumulates_per_sample,
        multiply_accumulates=means.multiply_accumulates_per_sample,
        energy_nj=means.energy_nj_per_sample,
        energy_profile=means.energy_profile,
    )


def fingerprint_of_weights(network: SpikingNetwork) -> str:
    """A fingerprint of the synaptic weights and biases: equal for equal numbers, whatever the thresholds are."""
    digest = hashlib.sha256()
    for layer in network.spiking_layers().values():
        for values in (layer.synapses.weight, layer.synapses.bias):
            if values is not None:
                digest.update(values.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def initial_thresholds(network: SpikingNetwork) -> list[InitialThresholds]:
    """The thresholds of each layer of a network before training."""
    found = []
    for name, layer in network.spiking_layers().items():
        values = layer.neurons.threshold.detach().double()
        mean, std, minimum = float(values.mean()), float(values.std(correction=0)), float(values.min())
        found.append(InitialThresholds(layer=name, mean=mean, std=std, minimum=minimum))
    return found


@torch.inference_mode()
def raster(network: SpikingNetwork, encoder: ImageInput | EventInput, samples: Samples, sample: int) -> Raster:
    """The spikes of all neurons of an inference form for one sample, encoded with seed 0."""
    found: dict[str, str] = {}

    def keep(name: str, spikes: torch.Tensor) -> None:
        found[name] = pack_bits(spikes[:, 0].bool().numpy())

    hooks = [
        layer.neurons.register_forward_hook(lambda _, __, outputs, name=name: keep(name, outputs[0]))
        for name, layer in network.spiking_layers().items()
    ]
    inputs, labels = make_batch(samples, torch.tensor([sample]))
    if isinstance(samples, Bins):
        network(network_input(inputs))
    elif isinstance(encoder, EventInput):
        network(encoder.events(inputs, 1))
    else:
        network(encoder.image(inputs, torch.zeros(1, dtype=torch.int64)))
    for hook in hooks:
        hook.remove()
    return Raster(sample=sample, label=int(labels[0]), layers=found)
