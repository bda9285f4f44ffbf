"""Which neurons fire: both engines beside a trace of the archive's weights that uses neither."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from contract.archive_tensors import read_tensors
from contract.card import ImageEncoder
from contract.checkpoint import read_archive
from contract.errors import InvalidParameter
from contract.store import Store
from event_engine.network import EventNetwork
from service.engine.device import CPU
from service.engine.interface import Activity, Engine, EventSample, ImageSample, Sample
from service.engine.load import Preference
from service.engine.torchscript import TorchScriptEngine
from service.engine.torchserve import TorchServe
from tests.event_engine.differential import make_case
from tests.service.engine.engines import ENGINES, load, not_built
from tests.tiny import moving_bar

MODELS = ["tiny-image", "tiny-direct", "tiny-events"]


def samples_for(name: str, count: int) -> list[Sample]:
    rng = np.random.default_rng(5)
    if name == "tiny-events":
        return [EventSample(moving_bar(rng, right=bool(seed % 2))) for seed in range(count)]
    return [ImageSample(rng.integers(0, 256, (1, 8, 8), np.uint8), seed) for seed in range(count)]


def trace(root: Path, name: str, sample: Sample) -> NDArray[np.bool_]:
    """`[T, N]` by the equations: weights and thresholds of the archive, plain convolutions, one neuron's rule."""
    data, card = read_archive(Store(root).checkpoint_path(name, 1))
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in read_tensors(data).items()}
    x = TorchScriptEngine.of(data, card, CPU)._encode([sample])[:, 0]
    layers = []
    for layer in card.layers:
        if layer.kind == "max_pool":
            x = functional.max_pool2d(x, 2)
            continue
        own = {key.split(f".{layer.name}.")[1]: value for key, value in tensors.items() if f".{layer.name}." in key}
        weight, bias, threshold = own["synapses.weight"], own.get("synapses.bias"), own["neurons.threshold"]
        if layer.kind == "conv":
            current = functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        else:
            current = functional.linear(x.flatten(1), weight, bias)
        potential, spikes = torch.zeros_like(current[0]), []
        for step in current:
            potential = card.neuron.tau * potential + step
            spikes.append(potential >= threshold)
            potential = torch.where(spikes[-1], 0.0, potential)
        x = torch.stack(spikes).float()
        layers.append(x.flatten(1).numpy().astype(bool))
    return np.concatenate(layers, 1)


def check_counts(engine: Engine, activity: Activity) -> None:
    """The raster adds up to the spikes of each layer and step, and to the votes."""
    assert activity.fired is not None
    card = engine.card
    layers = np.split(activity.fired, np.cumsum([layer.neurons for layer in card.spiking_layers])[:-1], axis=1)
    np.testing.assert_array_equal(np.stack([layer.sum(1) for layer in layers], 1), activity.spikes)
    votes = layers[-1].reshape(len(activity.scores), len(card.labels), card.voters).sum(2)
    np.testing.assert_array_equal(votes, activity.scores)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ENGINES)
def test_the_neurons_that_fire_are_those_of_an_independent_trace(
    tiny_store_root: Path, name: str, kind: Preference
) -> None:
    engine, samples = load(tiny_store_root, name, kind), samples_for(name, 4)
    for sample, activity in zip(samples, engine.run(samples, raster=True), strict=True):
        np.testing.assert_array_equal(activity.fired, trace(tiny_store_root, name, sample))
        check_counts(engine, activity)
    assert all(activity.fired is None for activity in engine.run(samples))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ENGINES)
def test_a_raster_ends_with_its_sample(tiny_store_root: Path, name: str, kind: Preference) -> None:
    engine, samples = load(tiny_store_root, name, kind), samples_for(name, 30)
    whole = engine.run(samples, raster=True)
    ended = engine.run(samples, [1] * engine.card.timesteps, raster=True)
    assert {len(each.scores) for each in ended} > {1}
    for full, found in zip(whole, ended, strict=True):
        assert found.fired is not None
        assert full.fired is not None
        np.testing.assert_array_equal(found.fired, full.fired[: len(found.scores)])


@not_built
@pytest.mark.parametrize("structure", ["40C3-40R3-MP2-VOTE2", "5C3-7R3-20C3-MP2-FC33-VOTE2"])
def test_residual_blocks_and_long_runs_fire_alike_in_both_engines(structure: str) -> None:
    case = make_case(structure, ImageEncoder(coding="poisson", timesteps=70), shape=(2, 6, 5))
    scripted = TorchScriptEngine(case.card, case.module, CPU, 0, list(case.module.network.stages.children()))
    rng = np.random.default_rng(0)
    pixels, seeds = rng.integers(0, 256, (5, 2, 6, 5), np.uint8), np.arange(5)
    found = EventNetwork(case.card, case.weights).run_images(pixels, seeds, raster=True)
    expected = scripted.run([ImageSample(*pair) for pair in zip(pixels, seeds.tolist(), strict=True)], raster=True)
    assert found.fired is not None
    for number, activity in enumerate(expected):
        check_counts(scripted, activity)
        np.testing.assert_array_equal(found.fired[number], activity.fired)
    assert 0.01 < found.fired.mean() < 0.9


def test_an_archive_that_does_not_show_its_neurons_says_so_and_still_runs(tiny_store_root: Path) -> None:
    engine = load(tiny_store_root, "tiny-image", "torchscript")
    assert isinstance(engine, TorchScriptEngine)
    engine._stages = []
    samples = samples_for("tiny-image", 1)
    assert engine.run(samples)[0].totals.spikes
    with pytest.raises(InvalidParameter, match="does not show its neurons"):
        engine.run(samples, raster=True)


def test_torchserve_refuses_a_raster(tiny_store_root: Path) -> None:
    server = TorchServe("http://127.0.0.1:9", token_file=None, timeout_seconds=1)
    engine = server.load(tiny_store_root / "tiny-image" / "1" / "model.pt", CPU)
    with pytest.raises(InvalidParameter, match="SNN_BACKEND=local"):
        engine.run(samples_for("tiny-image", 1), raster=True)
    server.close()
