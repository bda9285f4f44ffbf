import pytest

from contract.card import ImageEncoder, InputSpec, Neuron, Norm, ThresholdScope
from contract.structure import StructureError, parse_structure
from training.snn.builder import build_network
from training.snn.parameters import ParameterCounter, Parameters

SPEC = InputSpec(kind="image", channels=2, height=9, width=8)


def counter(
    norm: Norm = "none", scope: ThresholdScope = "neuron", *, bias: bool = True, analog: bool = True
) -> ParameterCounter:
    return ParameterCounter(SPEC, 3, norm=norm, bias=bias, scope=scope, analog_input=analog)


@pytest.mark.parametrize(
    "structure",
    [
        "VOTE1",
        "FC7-DP0.5-VOTE10",
        "4C3-MP2-5C5-FC6-VOTE2",
        "2R3-2R3-MP3-4R3-AP2-4R3-VOTE2",
        "2R3-AP2-2R3-VOTE",
    ],
)
@pytest.mark.parametrize(
    ("norm", "scope", "bias", "coding"),
    [("none", "neuron", True, "direct"), ("none", "channel", False, "poisson"), ("time", "layer", True, "poisson")],
)
def test_the_counts_are_those_of_the_network(
    structure: str, norm: Norm, scope: ThresholdScope, bias: bool, coding: str
) -> None:
    encoder = ImageEncoder.model_validate({"coding": coding, "timesteps": 2})
    neuron = Neuron(tau=0.5, threshold_scope=scope)
    network, _ = build_network(structure, spec=SPEC, encoder=encoder, neuron=neuron, classes=3, norm=norm, bias=bias)
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    thresholds = sum(size for name, size in sizes.items() if name.endswith("threshold"))
    counted = counter(norm, scope, bias=bias, analog=coding == "direct").count(parse_structure(structure))
    assert counted == Parameters(sum(sizes.values()) - thresholds, thresholds)


@pytest.mark.parametrize(
    ("structure", "norm"),
    [
        ("16C5-MP2-32C5-MP2-FC128-VOTE10", "none"),
        ("8C3-MP2-FC64-VOTE10", "step"),
        ("16C3-16C3-16C3-16C3-FC32-VOTE10", "none"),
        ("FC128-VOTE10", "none"),
        ("8C3-8R3-MP2-16R3-16R3-FC20-VOTE2", "step"),
    ],
)
def test_a_wider_network_has_the_number_to_within_half_a_channel_or_unit(structure: str, norm: Norm) -> None:
    counts = counter(norm)
    before = counts.count(parse_structure(structure))
    target = before.weights + before.thresholds
    wider = counts.widen(structure, target)
    found = counts.count(parse_structure(wider)).weights
    assert wider != structure
    tokens = structure.split("-")
    one_more = [  # of each layer by itself, which is the least that a layer can grow
        counts.count(parse_structure("-".join([*tokens[:place], bigger, *tokens[place + 1 :]]))).weights
        - before.weights
        for place, token in enumerate(tokens)
        if (bigger := _one_more(token)) != token
    ]
    assert 2 * abs(found - target) <= 1.3 * min(one_more)  # the cheapest; in the wider network it costs a little more


def _one_more(token: str) -> str:
    if token.startswith("FC"):
        return f"FC{int(token[2:]) + 1}"
    head, kind, kernel = token.partition("C") if "C" in token else token.partition("R")
    return f"{int(head) + 1}{kind}{kernel}" if kind and head.isdigit() else token


def test_layers_grow_in_proportion_and_residual_blocks_with_what_they_are_added_to() -> None:
    counts = counter(norm="step")
    start = "20C3-20R3-MP2-40R3-40R3-FC100-VOTE2"
    target = 4 * counts.count(parse_structure(start)).weights  # twice as wide
    tokens = counts.widen(start, target).split("-")
    first, block, _, third, fourth, dense, _ = tokens
    assert (block, fourth) == (first.replace("C", "R"), third)
    assert [int(first[:2]) / 20, int(third[:2]) / 40, int(dense[2:]) / 100] == pytest.approx([2, 2, 2], rel=0.1)


@pytest.mark.parametrize(("structure", "weights"), [("VOTE10", 10_000), ("4C3-VOTE2", 10)])
def test_what_cannot_be_widened_is_refused(structure: str, weights: int) -> None:
    with pytest.raises(StructureError, match="cannot be widened"):
        counter().widen(structure, weights)
