import math

import pytest
import torch
from neurobench.metrics.workload import SynapticOperations  # type: ignore[import-untyped]
from neurobench.models import TorchModel  # type: ignore[import-untyped]
from torch import nn

from contract.card import InputSpec, Neuron
from contract.structure import StructureError
from tests.training.networks import DIRECT, POISSON, lively_network, pixels_in, spikes_in
from training.export.checkpoint import inference_form
from training.snn.builder import build_network
from training.snn.layers import ChannelNorm, MaxPool, ResidualBlock
from training.snn.network import SpikingNetwork

STRUCTURES = [
    "FC8-VOTE2",
    "3C3-MP2-FC8-VOTE2",
    "3C5-4C3-AP2-DP0.5-VOTE1",
    "3R3-3R3-MP2-4R3-VOTE2",
]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_forward_equals_a_call_of_step_for_each_time_step(structure: str) -> None:
    network, _ = lively_network(structure)
    x = spikes_in(3, 4)
    with torch.no_grad():
        scores, spikes, synops = network(x)
        state = network.initial_state(4)
        for t in range(3):
            step_scores, step_spikes, step_synops, state = network.step(x[t], state)
            assert torch.equal(step_scores, scores[t])
            assert torch.equal(step_spikes, spikes[t])
            assert torch.equal(step_synops, synops[t])


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_layer_fires_and_rests_in_these_tests(structure: str) -> None:
    network, layers = lively_network(structure)
    with torch.no_grad():
        _, spikes, _ = network(spikes_in(3, 4))
    for layer in layers:
        if layer.spikes_index is not None:
            rate = float(spikes[..., layer.spikes_index].sum()) / (3 * 4 * layer.neurons)
            assert 0.02 < rate < 0.98, layer.name


def brute_force_synops(layer: nn.Module, x: torch.Tensor) -> int:
    """Visit every synapse of a convolution or linear layer and count those whose input is not zero."""
    count = 0
    if isinstance(layer, nn.Linear):
        for value in x.flatten().tolist():
            for _ in range(layer.out_features):
                count += value != 0
        return count
    assert isinstance(layer, nn.Conv2d)
    channels, height, width = x.shape
    reach = (layer.kernel_size[0] - 1) // 2
    for _ in range(layer.out_channels):
        for row in range(height):
            for column in range(width):
                for channel in range(channels):
                    for dy in range(-reach, reach + 1):
                        for dx in range(-reach, reach + 1):
                            if 0 <= row + dy < height and 0 <= column + dx < width:
                                count += bool(x[channel, row + dy, column + dx] != 0)
    return count


def inputs_of_synapses(network: SpikingNetwork, x: torch.Tensor) -> dict[nn.Module, torch.Tensor]:
    """What each layer of synapses was fed `[T * B, ...]`, caught by hooks."""
    fed: dict[nn.Module, torch.Tensor] = {}
    hooks = [
        layer.synapses.register_forward_pre_hook(lambda module, arguments: fed.update({module: arguments[0]}))
        for layer in network.spiking_layers().values()
    ]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return fed


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("coding", ["spikes", "pixels"])
def test_counts_equal_those_of_a_visit_to_every_synapse(structure: str, coding: str) -> None:
    network, layers = lively_network(structure, encoder=POISSON if coding == "spikes" else DIRECT)
    x = spikes_in(3, 2) if coding == "spikes" else pixels_in(3, 2)
    fed = inputs_of_synapses(network, x)
    with torch.no_grad():
        _, _, synops = network(x)
    for column, (name, layer) in enumerate(network.spiking_layers().items()):
        for step in range(3):
            for sample in range(2):
                expected = brute_force_synops(layer.synapses, fed[layer.synapses][step * 2 + sample])
                assert int(synops[step, sample, column]) == expected, name
    named = {layer.synops_index: layer.name for layer in layers if layer.synops_index is not None}
    assert [named[index] for index in sorted(named)] == list(network.spiking_layers())


@pytest.mark.parametrize("structure", STRUCTURES)
def test_synapses_on_the_card_equal_a_count_with_every_input_active(structure: str) -> None:
    network, layers = lively_network(structure)
    fed = inputs_of_synapses(network, spikes_in(1, 1))
    by_name = {layer.name: layer for layer in layers}
    for name, layer in network.spiking_layers().items():
        everything = torch.ones_like(fed[layer.synapses][0])
        assert by_name[name].synapses == by_name[name].dense_macs == brute_force_synops(layer.synapses, everything)
        assert by_name[name].neurons == math.prod(layer.neurons.shape)


@pytest.mark.parametrize("coding", ["spikes", "pixels"])
def test_counts_equal_those_of_neurobench(coding: str) -> None:
    """NeuroBench skips weights of zero and is compared without bias: a synapse here exists by structure."""
    network, layers = lively_network("4C5-MP2-5C3-FC9-VOTE3", encoder=POISSON if coding == "spikes" else DIRECT)
    network = inference_form(network)
    for layer in network.spiking_layers().values():
        layer.synapses.bias = None
        weight = layer.synapses.weight
        weight.data = torch.where(weight == 0, 2.0**-20, weight)
    x = spikes_in(3, 4) if coding == "spikes" else pixels_in(3, 4)
    model = TorchModel(network)
    model.register_hooks()
    with torch.no_grad():
        _, _, synops = network(x)
    found = SynapticOperations()(model, None, (torch.zeros(4), torch.zeros(4)))
    kinds = {"ac": 0.0, "mac": 0.0}
    for layer_card in layers:
        if layer_card.operation is not None and layer_card.synops_index is not None:
            kinds[layer_card.operation] += float(synops[..., layer_card.synops_index].sum()) / 4
    assert (kinds["ac"], kinds["mac"]) == (found["Effective_ACs"], found["Effective_MACs"])
    assert kinds["ac"] > 0
    assert (kinds["mac"] > 0) == (coding == "pixels")


def test_counts_stay_exact_beyond_what_float32_holds() -> None:
    network, _ = lively_network("1C1-VOTE1", shape=(1, 1, 1), classes=2)
    layer = network.spiking_layers()["vote"]
    layer.fan_out.fill_(2.0**24 + 1)
    assert int(layer.count_operations(torch.ones(1, 1, 1))) == 2**24 + 1


def test_pooled_spikes_are_counted_after_pooling() -> None:
    network, _ = lively_network("3C3-MP2-VOTE2")
    fed = inputs_of_synapses(network, spikes_in(3, 2))
    with torch.no_grad():
        _, spikes, synops = network(spikes_in(3, 2))
    vote = network.spiking_layers()["vote"]
    assert int(synops[..., 1].sum()) == int(fed[vote.synapses].sum()) * 6
    assert int(synops[..., 1].sum()) < int(spikes[..., 0].sum()) * 6


def test_what_is_fed_by_other_than_spikes_is_multiply_accumulates() -> None:
    operations = {}
    for name, structure, encoder in [
        ("poisson", "3C3-MP2-3C3-VOTE1", POISSON),
        ("direct", "3C3-MP2-3C3-VOTE1", DIRECT),
        ("average", "3C3-AP2-3C3-VOTE1", POISSON),
        ("residual", "3R3-VOTE1", DIRECT),
    ]:
        _, layers = lively_network(structure, encoder=encoder)
        operations[name] = [(layer.operation, layer.exact) for layer in layers if layer.operation]
    assert operations == {
        "poisson": [("ac", True), ("ac", True), ("ac", True)],
        "direct": [("mac", True), ("ac", True), ("ac", True)],
        "average": [("ac", True), ("mac", False), ("ac", True)],
        "residual": [("mac", True), ("ac", True), ("mac", True), ("ac", True)],
    }


def test_a_residual_block_passes_spikes_on_and_its_veto_silences_the_shortcut() -> None:
    network, _ = lively_network("2R3-VOTE1")
    block = network.stages["residual1"]
    assert isinstance(block, ResidualBlock)
    x = spikes_in(3, 4)
    with torch.no_grad():
        out, spikes, _, _ = block(x, block.initial_state(4))
        block.second.neurons.threshold.fill_(1e9)
        identity, *_ = block(x, block.initial_state(4))
    assert set(out.unique().tolist()) == {0.0, 1.0}
    assert spikes.shape == (3, 4, 2)
    assert torch.equal(identity, x)
    assert 0 < out.sum() < x.sum()


def test_classes_are_counted_by_their_own_voters() -> None:
    network, _ = lively_network("VOTE2", classes=3)
    vote = network.spiking_layers()["vote"]
    nn.init.zeros_(vote.synapses.weight)
    vote.neurons.threshold.data = torch.tensor([0.5] * 6)
    vote.synapses.bias = nn.Parameter(torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0, 0.0]))
    with torch.no_grad():
        scores, spikes, _ = network(spikes_in(1, 1))
    assert scores[0, 0].tolist() == [1.0, 2.0, 0.0]
    assert spikes[0, 0].tolist() == [3]


def test_batch_norm_uses_each_steps_own_statistics_in_training() -> None:
    network, _ = lively_network("3C3-VOTE1")
    norm = network.spiking_layers()["conv1"].norm
    assert isinstance(norm, ChannelNorm)
    norm.norm.reset_parameters()
    norm.train()
    current = torch.stack([torch.randn(8, 3, 4, 4) + 5, torch.randn(8, 3, 4, 4) * 9])
    normalised = norm(current)
    assert normalised.mean((1, 3, 4)).abs().max() < 1e-5
    torch.testing.assert_close(normalised.var((1, 3, 4), correction=0), torch.ones(2, 3), rtol=1e-4, atol=1e-4)


def test_batch_norm_over_time_uses_the_statistics_of_all_steps_in_training() -> None:
    torch.manual_seed(0)
    norm, torchs = ChannelNorm(3, per_step=False), nn.BatchNorm2d(3)
    current = torch.stack([torch.randn(8, 3, 4, 4) + 5, torch.randn(8, 3, 4, 4) * 9])
    assert torch.equal(norm(current), torchs(current.flatten(0, 1)).unflatten(0, (2, 8)))
    assert torch.equal(norm.eval()(current), torchs.eval()(current.flatten(0, 1)).unflatten(0, (2, 8)))


def test_a_pool_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(StructureError, match="MP4 does not fit into 3 x 2"):
        build_network(
            "3C3-MP2-MP4-VOTE1",
            spec=InputSpec(kind="image", channels=2, height=6, width=5),
            encoder=POISSON,
            neuron=Neuron(tau=0.5, threshold_scope="layer"),
            classes=2,
        )


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("shape", [(6, 6), (7, 5), (3, 4)])
def test_pooling_without_gradients_equals_torchs(size: int, shape: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *shape)
    pool = MaxPool(size)
    assert torch.equal(pool.eval()(x), pool.train()(x))
    assert torch.equal(torch.jit.script(pool.eval())(x), nn.functional.max_pool2d(x, size))


def test_equal_values_in_a_pooling_window_share_the_gradient() -> None:
    spikes = torch.tensor([[[[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]]], requires_grad=True)
    (MaxPool(2).train()(spikes) * torch.tensor([6.0, 4.0])).sum().backward()
    assert spikes.grad is not None
    assert spikes.grad.tolist() == [[[[2.0, 2.0, 1.0, 1.0], [0.0, 2.0, 1.0, 1.0]]]]
