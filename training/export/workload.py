"""The workload of a network, for its card: operations without weights of zero, sparsities, and the cost at rest."""

import math

import torch
from torch import Tensor, nn

from contract.card import Layer
from contract.energy import crossover_activity
from contract.workload import LayerWorkload, Workload
from training.data import Samples
from training.export.network_inputs import network_inputs
from training.snn.encode import EventInput, ImageInput
from training.snn.layers import SpikingLayer
from training.snn.network import SpikingNetwork

MAX_SAMPLES = 1_000


@torch.inference_mode()
def workload(
    network: SpikingNetwork, layers: tuple[Layer, ...], encoder: ImageInput | EventInput, samples: Samples
) -> Workload:
    """The workload of an inference form on the first 1,000 of `samples`; `layers` are those of its card."""
    some = samples.subset(torch.arange(min(MAX_SAMPLES, len(samples))))
    spikes, operations, active = _run(network, encoder, some)
    _, idle_spikes, idle_operations = network(torch.zeros(encoder.timesteps, 1, *encoder.shape))
    synaptic = {layer.name: layer for layer in layers if layer.synops_index is not None}
    found = []
    for column, (name, layer) in enumerate(network.spiking_layers().items()):
        weight = layer.synapses.weight
        found.append(
            LayerWorkload(
                layer=name,
                weights=weight.numel(),
                zero_weights=int((weight == 0).sum()),
                operations=float(operations[column]) / len(some),
                effective_operations=float((active[name] * effective_fan_out(layer, active[name])).sum()) / len(some),
                idle_operations=int(idle_operations[..., column].sum()),
                idle_spikes=int(idle_spikes[..., column].sum()),
            )
        )
    return _summary(network, synaptic, tuple(found), float(spikes), len(some), encoder.timesteps)


def _run(
    network: SpikingNetwork, encoder: ImageInput | EventInput, samples: Samples
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Spikes of all samples, operations of each layer, and how often each input of a layer was not zero."""
    active: dict[str, Tensor] = {}

    def watch(name: str, layer: SpikingLayer, x: Tensor) -> None:
        x = x.flatten(2) if layer.flatten else x
        active[name] = active.get(name, torch.tensor(0.0)) + (x != 0).double().sum((0, 1))

    hooks = [
        layer.register_forward_pre_hook(lambda module, inputs, name=name: watch(name, module, inputs[0]))
        for name, layer in network.spiking_layers().items()
    ]
    spikes, operations = torch.zeros((), dtype=torch.int64), torch.zeros((), dtype=torch.int64)
    for x in network_inputs(encoder, samples):
        _, fired, performed = network(x)
        spikes = spikes + fired.sum()
        operations = operations + performed.sum((0, 1))
    for hook in hooks:
        hook.remove()
    return spikes, operations, active


def effective_fan_out(layer: SpikingLayer, like: Tensor) -> Tensor:
    """Outgoing synapses of each input whose weight is not zero, float64 in the shape of one input.

    A neuron near a padded border reaches fewer windows; a transposed convolution of ones counts them.
    """
    present = (layer.synapses.weight != 0).double().sum(0)
    if not isinstance(layer.synapses, nn.Conv2d):
        return present
    ones = torch.ones(1, 1, *like.shape[1:], dtype=torch.float64)
    padding = (present.shape[-1] - 1) // 2
    return nn.functional.conv_transpose2d(ones, present.unsqueeze(0), padding=padding)[0]


def _summary(
    network: SpikingNetwork,
    synaptic: dict[str, Layer],
    layers: tuple[LayerWorkload, ...],
    spikes: float,
    samples: int,
    timesteps: int,
) -> Workload:
    spiking = {layer.layer for layer in layers if synaptic[layer.layer].operation == "ac"}
    reached = sum(synaptic[name].synapses for name in spiking) * timesteps
    neurons = sum(math.prod(layer.neurons.shape) for layer in network.spiking_layers().values())
    return Workload(
        samples=samples,
        footprint=sum(parameter.numel() * parameter.element_size() for parameter in network.parameters()),
        connection_sparsity=sum(each.zero_weights for each in layers) / sum(each.weights for each in layers),
        activation_sparsity=1 - spikes / (neurons * timesteps * samples),
        effective_acs=sum(each.effective_operations for each in layers if each.layer in spiking),
        effective_macs=sum(each.effective_operations for each in layers if each.layer not in spiking),
        dense=sum(layer.synapses for layer in synaptic.values()) * timesteps,
        membrane_updates=neurons * timesteps,
        synaptic_activity=(
            sum(each.operations for each in layers if each.layer in spiking) / reached if reached else None
        ),
        crossover_activity=crossover_activity(timesteps),
        layers=layers,
    )
