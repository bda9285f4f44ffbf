import copy
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from contract.card import MAX_CARD_BYTES, ImageEncoder, InputSpec, read_card
from contract.probes import PROBES_FILE
from contract.reference import REFERENCE_FILE
from contract.store import CHECKPOINT_FILE, STATE_FILE, Store
from tests.tiny import tiny_image_config
from tests.training.networks import DIRECT, POISSON, lively_network, pixels_in, spikes_in
from training.data import load_dataset
from training.errors import ConfigError
from training.export.checkpoint import folded, inference_form, load_scripted, publish, rebuild, script
from training.learning.train import train
from training.snn.encode import build_encoder
from training.snn.layers import SpikingLayer

STRUCTURES = ["4C3-MP2-FC8-VOTE2", "3R3-4R3-MP2-DP0.5-VOTE2", "3C5-AP2-VOTE2"]


def feed(encoder: ImageEncoder) -> torch.Tensor:
    return spikes_in(3, 5) if encoder.coding == "poisson" else pixels_in(3, 5)


def currents(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The input current of every layer of neurons `[T, B, ...]`."""
    caught: list[torch.Tensor] = []
    hooks = [
        layer.neurons.register_forward_pre_hook(lambda _, arguments: caught.append(arguments[0]))
        for layer in network.spiking_layers().values()  # type: ignore[operator]
    ]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return caught


def current_of(layer: SpikingLayer, x: torch.Tensor) -> torch.Tensor:
    """The input current that a layer makes of `x` `[T, B, ...]`."""
    with torch.no_grad():
        x = x.flatten(2) if layer.flatten else x
        current: torch.Tensor = layer.norm(layer.synapses(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return current


@pytest.mark.parametrize("encoder", [POISSON, DIRECT])
def test_folding_gives_the_currents_of_convolution_and_batch_norm(encoder: ImageEncoder) -> None:
    network, _ = lively_network("4C3-MP2-FC8-VOTE2", encoder=encoder)
    layer = network.spiking_layers()["conv1"]
    x = feed(encoder)[0] * network.input_scale
    weight, bias = folded(layer)
    with torch.no_grad():
        plain = nn.functional.conv2d(x.double(), weight, bias, padding=1)
        torch.testing.assert_close(plain, layer.norm(layer.synapses(x).unsqueeze(0))[0].double(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("encoder", [POISSON, DIRECT])
def test_the_inference_form_stays_close_to_the_network(structure: str, encoder: ImageEncoder) -> None:
    network, _ = lively_network(structure, encoder=encoder)
    before = copy.deepcopy(network.state_dict())
    inference = inference_form(network)
    assert inference.input_scale == 1.0
    # a spike that rounding moves changes all that follows, so layers are fed the same input one by one
    fed: list[torch.Tensor] = []
    for layer in network.spiking_layers().values():
        layer.register_forward_pre_hook(lambda _, arguments: fed.append(arguments[0]))
    with torch.no_grad():
        network(feed(encoder))
    layers = zip(network.spiking_layers().values(), inference.spiking_layers().values(), fed, strict=True)
    for layer, folded_layer, x in layers:
        raw = x / network.input_scale if layer.max_input > 1 else x
        exact, rounded = current_of(layer, x), current_of(folded_layer, raw)
        torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0.02)
        assert not torch.equal(rounded, exact)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("encoder", [POISSON, DIRECT])
def test_currents_the_card_calls_exact_equal_those_in_float64(structure: str, encoder: ImageEncoder) -> None:
    network, layers = lively_network(structure, encoder=encoder)
    network = inference_form(network)
    x = feed(encoder)
    single = currents(network, x)
    double = currents(copy.deepcopy(network).double(), x.double())
    promised = [layer.exact for layer in layers if layer.operation]
    assert any(promised)
    for current, reference, exact in zip(single, double, promised, strict=True):
        if exact:
            assert torch.equal(current.double(), reference)


@pytest.mark.parametrize("encoder", [POISSON, DIRECT])
def test_currents_are_the_same_bits_alone_in_any_batch_and_with_any_thread_count(encoder: ImageEncoder) -> None:
    network, _ = lively_network("8C5-MP2-FC300-VOTE10", shape=(1, 28, 28), encoder=encoder, classes=10)
    network = inference_form(network)
    shape = (1, 28, 28)
    x = spikes_in(3, 33, shape) if encoder.coding == "poisson" else pixels_in(3, 33, shape)
    together = currents(network, x)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            for size in (1, 2, 7, 33):
                for layer, current in enumerate(currents(network, x[:, :size].contiguous())):
                    assert torch.equal(current, together[layer][:, :size])
            assert torch.equal(currents(network, x[:, 20:21].contiguous())[1], together[1][:, 20:21])
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_scripted_network_equals_the_eager_one(structure: str) -> None:
    network, _ = lively_network(structure)
    spec = InputSpec(kind="image", channels=2, height=6, width=5)
    scripted, eager = script(network, build_encoder(spec, POISSON)), inference_form(network)
    x = spikes_in(3, 5)
    with torch.inference_mode():
        for ours, theirs in zip(scripted(x), eager(x), strict=True):
            assert torch.equal(ours, theirs)
        state = scripted.initial_state(5)
        scores, *_, state = scripted.step(x[0], state)
        assert torch.equal(scores, eager(x)[0][0])
        assert len(state) == len(network.spiking_layers())


def test_published_archives_equal_what_their_training_state_gives(tiny_store_root: Path) -> None:
    shipped = Path(__file__).parents[3] / "model_store"
    paths = [Store(root).newest(name) for root in (tiny_store_root, shipped) for name in Store(root).names()]
    for path in paths:
        card = read_card(path)
        loaded = torch.jit.load(str(path))
        again = script(rebuild(card, path.with_name(STATE_FILE)), build_encoder(card.input, card.encoder))
        state = loaded.state_dict()
        assert state.keys() == again.state_dict().keys()
        assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())
        x = spikes_in(card.timesteps, 6, card.input.shape)
        with torch.inference_mode():
            assert all(torch.equal(one, other) for one, other in zip(loaded(x), again(x), strict=True))


@pytest.mark.parametrize(("norm", "bias"), [("none", True), ("none", False), ("time", False)])
def test_other_norms_and_networks_without_biases_are_rebuilt_from_their_card(
    norm: str, bias: bool, tmp_path: Path
) -> None:
    config = tiny_image_config(norm=norm, bias=bias, threshold=0.5, epochs=1, train_samples=100)
    store = Store(tmp_path)
    train(config, load_dataset("digits"), store, tmp_path / "run", progress=False)
    path = store.checkpoint_path("tiny-image", 1)
    card = read_card(path)
    assert (card.norm, card.bias) == (norm, bias)
    loaded = torch.jit.load(str(path))
    again = script(rebuild(card, path.with_name(STATE_FILE)), build_encoder(card.input, card.encoder))
    state = again.state_dict()
    assert ("network.stages.conv1.synapses.bias" in state) == (bias or norm != "none")
    assert ("network.stages.fc1.synapses.bias" in state) == bias
    x = spikes_in(card.timesteps, 6, card.input.shape)
    with torch.inference_mode():
        results = loaded(x)
        assert int(results[1].sum()) > 0
        assert all(torch.equal(one, other) for one, other in zip(results, again(x), strict=True))


def test_the_archives_weights_load_strictly_into_an_eager_network(tiny_store_root: Path) -> None:
    store = Store(tiny_store_root)
    path = store.checkpoint_path("tiny-image", 1)
    card = read_card(path)
    eager = inference_form(rebuild(card, path.with_name(STATE_FILE)))
    state = torch.jit.load(str(path)).network.state_dict()
    for parameter in eager.parameters():
        nn.init.zeros_(parameter)
    eager.load_state_dict(state, strict=True)


def test_the_training_state_holds_unfolded_weights_and_thresholds(tiny_store_root: Path) -> None:
    folder = tiny_store_root / "tiny-image" / "1"
    assert sorted(file.name for file in folder.iterdir()) == [CHECKPOINT_FILE, PROBES_FILE, REFERENCE_FILE, STATE_FILE]
    names = safetensors.torch.load_file(folder / STATE_FILE).keys()
    assert {"stages.conv1.synapses.weight", "stages.conv1.norm.norm.running_var"} <= names
    assert "stages.conv1.neurons.threshold" in names


def test_a_card_that_is_too_large_to_be_read_is_not_published(tiny_store_root: Path, tmp_path: Path) -> None:
    checkpoint = Store(tiny_store_root).checkpoint_path("tiny-image", 1)
    card = read_card(checkpoint)
    network = rebuild(card, checkpoint.with_name(STATE_FILE))
    large = card.model_copy(update={"labels": tuple(f"{number:0100d}" for number in range(MAX_CARD_BYTES // 100))})
    store = Store(tmp_path)
    with pytest.raises(ConfigError, match=f"nothing was published.*card.json has [0-9]+ bytes; .* {MAX_CARD_BYTES}"):
        publish(store, large, load_scripted(checkpoint), network)
    assert store.names() == []
    assert publish(store, card, load_scripted(checkpoint), network) == 1
