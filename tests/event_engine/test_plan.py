"""What the event engine refuses, with the reason, and what it does not believe."""

from pathlib import Path

import numpy as np
import pytest

from contract.card import Card, EventEncoder, ImageEncoder
from event_engine.errors import Unsuitable
from event_engine.grid import on_grid
from event_engine.library import Library, built_libraries
from event_engine.network import EventNetwork
from event_engine.plan import Weights, make_plan
from tests.event_engine.differential import Case, make_case

POISSON = ImageEncoder(coding="poisson", timesteps=3)
needs_library = pytest.mark.skipif(not built_libraries(), reason="the event engine was not built")


def case(structure: str = "4C3-MP2-FC6-VOTE2", encoder: ImageEncoder | EventEncoder = POISSON) -> Case:
    return make_case(structure, encoder, shape=(2, 6, 5))


def refusal(card: Card, weights: Weights) -> str:
    with pytest.raises(Unsuitable) as caught:
        make_plan(card, weights)
    return str(caught.value)


def test_average_pooling_is_refused() -> None:
    network = case("4C3-AP2-FC6-VOTE2")
    assert refusal(network.card, network.weights) == "average pooling is not exact"


def test_pooling_pixels_is_refused() -> None:
    network = case("MP2-4C3-VOTE2", ImageEncoder(coding="direct", timesteps=3))
    assert "values other than 0 and 1" in refusal(network.card, network.weights)


def test_dropout_does_nothing() -> None:
    network = case()
    with_dropout = network.card.model_copy(update={"network": "4C3-MP2-DP0.5-FC6-VOTE2"})
    assert len(make_plan(with_dropout, network.weights)) == len(make_plan(network.card, network.weights))


@pytest.mark.parametrize(
    "tensor", ["conv1.synapses.weight", "conv1.synapses.bias", "fc1.neurons.threshold", "vote.fan_out"]
)
def test_a_tensor_of_another_size_is_refused(tensor: str) -> None:
    network = case()
    name = f"network.stages.{tensor}"
    cut = network.weights | {name: np.append(network.weights[name], network.weights[name])}
    assert f"no {name} of the shape" in refusal(network.card, cut)
    assert f"no {name} of the shape" in refusal(
        network.card, network.weights | {name: network.weights[name].astype(int)}
    )


def test_a_missing_and_an_unknown_tensor_are_refused() -> None:
    network = case()
    without = {name: each for name, each in network.weights.items() if name != "network.stages.fc1.fan_out"}
    assert "no network.stages.fc1.fan_out" in refusal(network.card, without)
    extra = network.weights | {"network.stages.conv1.norm.weight": np.zeros(1)}
    assert "unknown: network.stages.conv1.norm.weight" in refusal(network.card, extra)


def test_a_card_of_another_structure_is_refused() -> None:
    network = case()
    for structure, reason in (
        ("4C5-MP2-FC6-VOTE2", "conv1.synapses.weight"),
        ("4C3-MP2-FC6-VOTE3", "voters"),
        ("4C3-MP2-FC6-FC6-VOTE2", "fc2.synapses.weight"),
        ("4C3-MP9-FC6-VOTE2", "does not fit"),
        ("4R3-MP2-FC6-VOTE2", "residual1.first"),
        ("tensor", "its structure is unknown"),
    ):
        assert reason in refusal(network.card.model_copy(update={"network": structure}), network.weights)
    fewer = network.card.model_copy(update={"layers": network.card.layers[:-1]})
    assert "lists other layers" in refusal(fewer, network.weights)


def test_weights_on_the_grid_are_whole_numbers_of_the_coarsest_unit() -> None:
    weight = np.array([[0.75, -0.5], [0.0, 0.25]], np.float32)
    found = on_grid(weight, np.array([0.5, -3], np.float32), 1)
    assert (found.scale, found.weight.tolist()) == (0.25, [[3, -2], [0, 1]])
    assert found.bias is not None
    assert found.bias.tolist() == [2, -12]
    assert on_grid(np.zeros((1, 2), np.float32), np.array([0.125], np.float32), 1).scale == 0.125


@pytest.mark.parametrize(
    ("weight", "bias", "max_input", "reason"),
    [
        ([[0.1, 0.3]], None, 1, "not on a grid"),
        ([[0.5, 0.25]], [0.1], 1, "not on a grid"),
        ([[1.0, 2.0**-16]], None, 1, "not on a grid"),
        ([[1.0, np.nan]], None, 1, "not finite"),
        ([[1.0, 1.0]], [np.inf], 1, "not finite"),
        ([[1.0, 2.0**-14] + [1.0] * 2000], None, 1, "inexact"),
        ([[1.0, 2.0**-10] + [1.0] * 70], None, 255, "inexact"),
        ([[2.0**-14]], [2.0**11 + 2.0**-14], 1, "inexact"),
        ([[2.0**-100]], None, 1, "too small"),
    ],
)
def test_sums_that_could_be_inexact_are_refused(
    weight: list[list[float]], bias: list[float] | None, max_input: int, reason: str
) -> None:
    with pytest.raises(Unsuitable, match=reason):
        on_grid(np.array(weight, np.float32), None if bias is None else np.array(bias, np.float32), max_input)


@needs_library
def test_input_of_another_shape_never_reaches_the_library() -> None:
    network = EventNetwork(case().card, case().weights)
    seeds = np.zeros(2, np.int64)
    pixels = np.zeros((2, 2, 6, 5), np.uint8)
    with pytest.raises(ValueError, match="channels, height and width"):
        network.run_images(pixels[:, :, 1:], seeds)
    with pytest.raises(ValueError, match="one seed"):
        network.run_images(pixels, seeds[:1])
    with pytest.raises(ValueError, match="channels, height and width"):
        network.forward(np.zeros((3, 1, 2, 5, 6), np.float32))
    with pytest.raises(ValueError, match="potentials"):
        network.step_images(pixels, seeds, seeds, np.zeros((1, network.neurons), np.float32))
    with pytest.raises(ValueError, match="moment"):
        network.step_images(pixels, seeds, seeds + 3, np.zeros((2, network.neurons), np.float32))
    with pytest.raises(ValueError, match="takes images"):
        network.run_events([np.zeros((1, 4), np.int64)])


@needs_library
def test_events_outside_of_the_sensor_are_refused() -> None:
    recorded = case(encoder=EventEncoder(binning="span", timesteps=3))
    network = EventNetwork(recorded.card, recorded.weights)
    for event in ([0, 5, 0, 0], [0, -1, 0, 0], [0, 0, 6, 0], [0, 0, 0, 2], [0, 0, 0, -1]):
        with pytest.raises(ValueError, match="outside of the sensor"):
            network.run_events([np.array([[0, 0, 0, 0], event], np.int64)])
    with pytest.raises(ValueError, match="overflow"):
        network.run_events([np.array([[-(2**63), 0, 0, 0], [2**63 - 1, 0, 0, 0]], np.int64)])
    with pytest.raises(ValueError, match="columns"):
        network.run_events([np.zeros((2, 3), np.int64)])


@needs_library
def test_the_library_checks_every_size_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = case()
    plan = make_plan(recorded.card, recorded.weights)
    convolution = plan[0].synapses  # type: ignore[union-attr]
    for field, reason in (("weight", "weights"), ("threshold", "thresholds"), ("fan_out", "fan-out"), ("bias", "bias")):
        whole = getattr(convolution, field)
        object.__setattr__(convolution, field, whole[:-1] if field != "weight" else whole[:, :1])
        monkeypatch.setattr("event_engine.network.make_plan", lambda *_: plan)
        with pytest.raises(ValueError, match=f"the {reason} ha"):
            EventNetwork(recorded.card, recorded.weights)
        object.__setattr__(convolution, field, whole)
    EventNetwork(recorded.card, recorded.weights)


@needs_library
def test_a_library_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("event_engine.library._INTERFACE", 0)
    with pytest.raises(Unsuitable, match="install the project again"):
        Library(built_libraries()[0])
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    with pytest.raises(Unsuitable, match="cannot be loaded"):
        Library(broken)
