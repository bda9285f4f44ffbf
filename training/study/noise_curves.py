"""A run's network under each noise of the study: accuracy, spikes and operations."""

from contract.card import Card, read_card
from contract.store import Store
from training.data import Dataset, Samples, stratified
from training.export.evaluate import evaluate, metrics
from training.export.event_form import Form, load_fastest
from training.learning.time_bins import as_tested
from training.noise.checkpoint import noisy_checkpoint
from training.noise.samples import noisy_samples
from training.study.folder import Task
from training.study.packing import pack_bits
from training.study.result import NoiseCurves, NoiseResult

SAMPLE_SEED = 0


def noise_curves(store: Store, task: Task, dataset: Dataset) -> NoiseCurves:
    """Measure the published network of a task without noise and at every kind, level and draw of its plan.

    All runs are measured on the same test samples with the same noise.
    """
    checkpoint = store.checkpoint_path(task.key, max(store.versions(task.key)))
    card, module = read_card(checkpoint), load_fastest(checkpoint)
    test = dataset.test
    if task.noise.samples is not None:
        test = test.subset(stratified(test.labels, task.noise.samples, SAMPLE_SEED))
    results = [_measured(module, test, card, ("clean", 0.0, 0))]
    for noise in task.noise.noises:
        name = noise.kind.name, noise.level, noise.draw
        if noise.kind.target == "network":
            results.append(_measured(noisy_checkpoint(card, checkpoint, noise), test, card, name))
        else:
            results.append(_measured(module, noisy_samples(test, noise, card.input.shape), card, name))
    return NoiseCurves(samples=len(test), results=results)


def _measured(module: Form, samples: Samples, card: Card, name: tuple[str, float, int]) -> NoiseResult:
    evaluation = evaluate(module, as_tested(samples, card))
    means = metrics(evaluation, card.layers, card.timesteps)
    kind, level, draw = name
    return NoiseResult(
        kind=kind,
        level=level,
        draw=draw,
        accuracy=evaluation.accuracy,
        correct=pack_bits((evaluation.predictions == samples.labels).numpy()),
        spikes=means.spikes_per_sample,
        operations=means.synops_per_sample,
        accumulates=means.accumulates_per_sample,
        multiply_accumulates=means.multiply_accumulates_per_sample,
        energy_nj=means.energy_nj_per_sample,
    )
