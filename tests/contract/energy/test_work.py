import math
from typing import Any

import pytest
import torch

from contract.card import Card, ImageEncoder, InputSpec, Neuron, Norm
from contract.energy import work_of
from contract.energy.work import Work
from contract.structure import StructureError
from tests.contract.energy.networks import LINEAR, layer
from training.snn.builder import build_network

STRUCTURES = ["4C3-MP2-FC16-VOTE2", "3C5-5R3-MP2-AP2-2R3-VOTE1", "4R3-FC5-VOTE2", "AP2-4C1-VOTE1"]


def card_of(structure: str, *, coding: str = "direct", norm: Norm = "step", bias: bool = True) -> Card:
    """A card that was not validated as a whole: the fields that work is counted from."""
    spec = InputSpec(kind="image", channels=2, height=9, width=7)
    encoder = ImageEncoder.model_validate({"coding": coding, "timesteps": 4})
    neuron = Neuron(tau=0.5, threshold_scope="neuron")
    network, layers = build_network(structure, spec=spec, encoder=encoder, neuron=neuron, classes=3)
    fields: dict[str, Any] = {"network": structure, "input": spec, "encoder": encoder, "neuron": neuron}
    card = Card.model_construct(**fields, layers=layers, norm=norm, bias=bias)
    seen: dict[str, int] = {}
    for name, each in network.spiking_layers().items():
        each.register_forward_pre_hook(lambda _, x, name=name: seen.update({name: math.prod(x[0].shape[2:])}))
    network.eval()(torch.zeros(4, 1, 2, 9, 7))
    card.__dict__["of_torch"] = {
        name: (seen[name], each.synapses.weight.numel()) for name, each in network.spiking_layers().items()
    }
    return card


@pytest.mark.parametrize("structure", STRUCTURES)
def test_inputs_and_weights_of_each_layer_are_those_of_the_network(structure: str) -> None:
    card = card_of(structure)
    counts = [1.0] * len(card.synaptic_layers)
    found = {each.name: (each.inputs, each.weights) for each in work_of(card, counts, counts).layers}
    assert found == card.__dict__["of_torch"]


def test_layers_that_read_the_pixels_themselves_are_constant_with_direct_coding() -> None:
    def constant(structure: str, coding: str = "direct") -> set[str]:
        card = card_of(structure, coding=coding)
        counts = [1.0] * len(card.synaptic_layers)
        return {each.name for each in work_of(card, counts, counts).layers if each.constant}

    assert constant("4R3-FC5-VOTE2") == {"residual1.first", "residual1.shortcut"}
    assert constant("AP2-4C1-VOTE1") == {"conv1"}
    assert constant("3C5-AP2-2R3-VOTE1") == {"conv1"}
    assert constant("3C5-AP2-2R3-VOTE1", "poisson") == set()


def test_biases_are_those_of_the_exported_form() -> None:
    def biased(norm: Norm, bias: bool) -> list[bool]:
        card = card_of("4C3-FC5-VOTE2", norm=norm, bias=bias)
        return [each.biased for each in work_of(card, [1.0] * 3, [1.0] * 3).layers]

    assert biased("step", True) == [True, True, True]
    assert biased("time", False) == [True, False, False]  # batch norm leaves a bias when it is folded
    assert biased("none", False) == [False, False, False]


def test_the_work_of_neurons_is_counted() -> None:
    assert (LINEAR.membrane_updates, LINEAR.bias_additions) == (6 * 3, 4 * 3)
    assert (LINEAR.accumulates, LINEAR.multiply_accumulates, LINEAR.synapses) == (44, 0, 32)
    assert LINEAR.layers[0].events == 11


def test_a_first_layer_computed_once_does_its_work_in_one_step() -> None:
    work = Work((layer("pixels", spiking=False, constant=True, operations=60), layer("fc1")), timesteps=3, values=6)
    once = work.first_layer_once()
    assert work.direct
    assert (work.multiply_accumulates, once.multiply_accumulates) == (60, 20)
    assert (work.accumulates, once.accumulates) == (44, 44)
    assert [each.passes for each in once.layers] == [1, 3]


def test_zeros_that_a_conventional_network_skips_lie_between_two_bounds() -> None:
    work = Work((layer("pixels", spiking=False, constant=True, operations=60), layer("fc1")), timesteps=3, values=6)
    assert work.conventional_macs() == [(20, 20), (44 / 3, 24)]


def test_steps_that_did_not_run_are_not_counted() -> None:
    card = card_of("4C3-FC5-VOTE2")
    assert work_of(card, [4.0, 1, 1], [1.0] * 3, timesteps=2).membrane_updates == card.neurons * 2


@pytest.mark.parametrize("structure", ["somebody else's network", "FC5-VOTE2"])
def test_a_structure_that_does_not_describe_the_layers_is_refused(structure: str) -> None:
    card = card_of("4C3-FC5-VOTE2").model_copy(update={"network": structure})
    with pytest.raises(StructureError):
        work_of(card, [1.0] * 3, [1.0] * 3)
