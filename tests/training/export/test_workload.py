from pathlib import Path

import pytest
import torch
from neurobench.metrics.static import ConnectionSparsity, Footprint  # type: ignore[import-untyped]
from neurobench.metrics.workload import SynapticOperations  # type: ignore[import-untyped]
from neurobench.models import TorchModel  # type: ignore[import-untyped]

from contract.card import Card, ImageEncoder, InputSpec, Layer, read_card
from tests.training.networks import DIRECT, POISSON, lively_network
from training.data import Images
from training.export.card_table import card_report
from training.export.checkpoint import inference_form
from training.export.workload import workload
from training.snn.encode import ImageInput, build_encoder
from training.snn.network import SpikingNetwork

SHAPE = (2, 6, 5)


def images() -> Images:
    pixels = torch.randint(0, 256, (7, *SHAPE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Images(pixels * (pixels > 90), torch.zeros(7, dtype=torch.int64))


def encoder_of(encoder: ImageEncoder) -> ImageInput:
    built = build_encoder(InputSpec(kind="image", channels=2, height=6, width=5), encoder)
    assert isinstance(built, ImageInput)
    return built


def holey_network(structure: str, encoder: ImageEncoder) -> tuple[SpikingNetwork, tuple[Layer, ...]]:
    """An inference form of which a third of the weights are zero."""
    network, layers = lively_network(structure, encoder=encoder)
    network = inference_form(network)
    for layer in network.spiking_layers().values():
        weight = layer.synapses.weight
        weight.data[torch.rand(weight.shape, generator=torch.Generator().manual_seed(1)) < 1 / 3] = 0
    return network, layers


@pytest.mark.parametrize("encoder", [POISSON, DIRECT], ids=["spikes", "pixels"])
def test_neurobench_gives_the_same_numbers(encoder: ImageEncoder) -> None:
    network, layers = holey_network("4C5-MP2-5C3-FC9-VOTE3", encoder)
    model = TorchModel(network)
    model.register_hooks()
    with torch.no_grad():
        network(encoder_of(encoder).image(images().pixels, torch.zeros(7, dtype=torch.int64)))
    operations = SynapticOperations()(model, None, (torch.zeros(7), torch.zeros(7)))
    for hook in model.connection_hooks:
        hook.hook.remove()
    found = workload(network, layers, encoder_of(encoder), images())
    assert (found.effective_acs, found.effective_macs) == (operations["Effective_ACs"], operations["Effective_MACs"])
    assert found.dense == operations["Dense"]
    assert round(found.connection_sparsity, 4) == ConnectionSparsity()(model)
    only_for_counting = sum(buffer.numel() * buffer.element_size() for buffer in network.buffers())
    assert found.footprint == Footprint()(model) - only_for_counting
    assert 0 < found.effective_acs < sum(each.operations for each in found.layers)


def test_activity_and_sparsity_are_shares_of_what_could_be() -> None:
    network, layers = holey_network("3C3-FC9-VOTE3", DIRECT)
    found = workload(network, layers, encoder_of(DIRECT), images())
    with torch.no_grad():
        _, spikes, synops = network(encoder_of(DIRECT).image(images().pixels, torch.zeros(7, dtype=torch.int64)))
    neurons = 3 * 30 + 9 + 9
    assert found.membrane_updates == neurons * 3
    assert found.activation_sparsity == pytest.approx(1 - int(spikes.sum()) / (neurons * 3 * 7))
    behind_spikes = 90 * 9 + 9 * 9
    assert found.synaptic_activity == pytest.approx(int(synops[..., 1:].sum()) / 7 / (behind_spikes * 3))
    assert found.crossover_activity == pytest.approx(2 / (11 * 3))


def test_a_blank_input_costs_what_biases_make_of_it() -> None:
    network, layers = holey_network("3C3-FC9-VOTE3", POISSON)
    found = workload(network, layers, encoder_of(POISSON), images())
    with torch.no_grad():
        _, spikes, synops = network(torch.zeros(3, 1, *SHAPE))
    assert [each.idle_spikes for each in found.layers] == spikes.sum((0, 1)).tolist()
    assert [each.idle_operations for each in found.layers] == synops.sum((0, 1)).tolist()
    assert found.layers[0].idle_operations == 0
    assert found.layers[1].idle_operations > 0


@pytest.mark.parametrize("structure", ["4R3-FC3-VOTE1", "AP2-3C3-VOTE2"])
def test_a_visit_to_each_weight_that_is_not_zero_finds_as_many_operations(structure: str) -> None:
    network, layers = holey_network(structure, POISSON)
    fed: dict[str, torch.Tensor] = {}
    for name, layer in network.spiking_layers().items():
        layer.register_forward_pre_hook(lambda _, x, name=name: fed.update({name: x[0]}))
    found = workload(network, layers, encoder_of(POISSON), images())
    network(encoder_of(POISSON).image(images().pixels, torch.zeros(7, dtype=torch.int64)))
    for name, layer in network.spiking_layers().items():
        x = (fed[name] != 0).double().flatten(0, 1)
        synapses = layer.synapses
        ones = (synapses.weight != 0).double()
        reached = (
            torch.nn.functional.conv2d(x, ones, padding=synapses.padding)
            if isinstance(synapses, torch.nn.Conv2d)
            else x.flatten(1) @ ones.T
        )
        [each] = [each for each in found.layers if each.layer == name]
        assert each.effective_operations == pytest.approx(float(reached.sum()) / 7)


def test_the_card_of_a_trained_network_has_its_workload_and_prints_it(tiny_store_root: Path) -> None:
    card = read_card(tiny_store_root / "tiny-direct" / "1" / "model.pt")
    assert card.workload is not None
    by_layer = {each.layer: each for each in card.workload.layers}
    assert list(by_layer) == [layer.name for layer in card.synaptic_layers]
    assert by_layer["fc1"].operations == pytest.approx(card.metrics.multiply_accumulates_per_sample)
    report = card_report(card, 1)
    for text in ("footprint", "effective MACs", "membrane updates", "at weights of zero", "a blank input costs"):
        assert text in report


def test_a_card_without_a_workload_is_read_and_written_as_before(tiny_store_root: Path) -> None:
    newer = read_card(tiny_store_root / "tiny-direct" / "1" / "model.pt")
    older = newer.model_dump_json(exclude={"workload"})
    card = Card.model_validate_json(older)
    assert card.workload is None
    assert card.model_dump_json() == older
    assert "NeuroBench" not in card_report(card, 1)
