"""Accuracy, spikes and operations of a network on samples, measured on the inference form."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from contract.card import Layer, Metrics
from contract.decision import draw_seed
from contract.early_exit import steps_used
from contract.energy import PROFILES, operations_nj
from training.data import Bins, Images, Samples
from training.data.batches import ordered_batches
from training.data.bins import network_input
from training.export.event_form import EventForm, Form

PROFILE = PROFILES["cmos-45nm"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results over N samples.

    `steps` int64 `[N]` are the time steps that each sample took. `votes` int64 `[N, K]` are the spikes of each class's
    voting neurons, `predictions` int64 `[N]` the class ids with the most, `accuracy` is the share of correct ones.
    `spikes_by_step` float64 `[T, L]` and `synops_by_step` float64 `[T, S]` are averaged over the samples, with one
    column for each spiking or synaptic layer; `spikes` `[L]` and `synops` `[S]` are their sums over the time steps.
    """

    steps: Tensor
    votes: Tensor
    predictions: Tensor
    accuracy: float
    spikes_by_step: Tensor
    synops_by_step: Tensor

    @property
    def spikes(self) -> Tensor:
        """Spikes of each layer."""
        return self.spikes_by_step.sum(0)

    @property
    def synops(self) -> Tensor:
        """Synaptic operations of each layer."""
        return self.synops_by_step.sum(0)

    @property
    def samples(self) -> int:
        """How many samples were evaluated."""
        return len(self.predictions)


def evaluate(
    module: Form,
    samples: Samples,
    *,
    draw: int = 0,
    leads: Sequence[int] | None = None,
    batch_size: int = 100,
) -> Evaluation:
    """Run every sample with seed 0, as the service does by default; with equal scores, the lower class id wins.

    `draw` is another Poisson draw of that seed, as the service draws it. With `leads`, a sample counts only until the
    step at which its decision leads by as much, as in the service (`contract.early_exit`).
    """
    steps, votes, predictions, right = [], [], [], 0
    spikes, synops = torch.zeros(()), torch.zeros(())
    for labels, (scores, emitted, performed) in run_batches(module, samples, draw=draw, batch_size=batch_size):
        used = torch.full([len(labels)], len(scores))
        if leads is not None:
            used = torch.from_numpy(steps_used(scores.transpose(0, 1).numpy(), leads))
            taken = (torch.arange(len(scores)).unsqueeze(1) < used).unsqueeze(2)
            scores, emitted, performed = scores * taken, emitted * taken, performed * taken
        steps.append(used)
        votes.append(scores.sum(0))
        predictions.append(votes[-1].argmax(1))
        right += int((predictions[-1] == labels).sum())
        spikes = spikes + emitted.sum(1).double()
        synops = synops + performed.sum(1).double()
    count, every = len(samples), torch.cat(votes).long()
    predicted = torch.cat(predictions)
    return Evaluation(torch.cat(steps), every, predicted, right / count, spikes / count, synops / count)


@torch.inference_mode()
def run_batches(
    module: Form, samples: Samples, *, draw: int = 0, batch_size: int = 100
) -> Iterator[tuple[Tensor, tuple[Tensor, Tensor, Tensor]]]:
    """The labels of each batch, and its scores, spikes and synaptic operations `[T, B, ...]`."""
    seed = draw_seed(0, draw)
    for inputs, labels in ordered_batches(samples, batch_size):
        run = module.run if isinstance(module, EventForm) else partial(_run, module)
        yield labels, run(inputs, samples, len(labels), seed)


def _run(
    module: torch.nn.Module, inputs: Tensor, samples: Samples, rows: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    if isinstance(samples, Images):
        x = module.encode_image(inputs, torch.full([rows], seed))  # type: ignore[operator]
    elif isinstance(samples, Bins):
        x = network_input(inputs)
    else:
        x = module.encode_events(inputs, rows)  # type: ignore[operator]
    return module(x)  # type: ignore[no-any-return]


def metrics(
    test: Evaluation, layers: tuple[Layer, ...], timesteps: float, validation: Evaluation | None = None
) -> Metrics:
    """The card's metrics: those of the test part, and the accuracy on the validation part if there is one."""
    spiking = {layer.spikes_index: layer for layer in layers if layer.spikes_index is not None}
    rates = {
        layer.name: float(test.spikes[index]) / (layer.neurons * timesteps) for index, layer in sorted(spiking.items())
    }
    accumulates = _operations(test, layers, "ac")
    multiply_accumulates = _operations(test, layers, "mac")
    return Metrics(
        accuracy=test.accuracy,
        samples=test.samples,
        validation_accuracy=None if validation is None else validation.accuracy,
        validation_samples=0 if validation is None else validation.samples,
        spikes_per_sample=float(test.spikes.sum()),
        firing_rate=rates,
        synops_per_sample=float(test.synops.sum()),
        accumulates_per_sample=accumulates,
        multiply_accumulates_per_sample=multiply_accumulates,
        energy_nj_per_sample=operations_nj(accumulates, multiply_accumulates, PROFILE),
        energy_profile=PROFILE.name,
    )


def _operations(test: Evaluation, layers: tuple[Layer, ...], operation: str) -> float:
    return sum(
        float(test.synops[layer.synops_index])
        for layer in layers
        if layer.synops_index is not None and layer.operation == operation
    )
