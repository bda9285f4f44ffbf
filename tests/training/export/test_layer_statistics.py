from pathlib import Path

import numpy as np
import pytest
import torch

from contract.card import InputSpec, read_card
from contract.store import Store
from tests.training.networks import POISSON, lively_network
from training.data import Images
from training.export.card_table import card_report
from training.export.checkpoint import inference_form
from training.export.layer_statistics import layer_statistics
from training.snn.encode import ImageInput, build_encoder

SHAPE = (2, 6, 5)


def images(count: int = 30) -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, *SHAPE), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.zeros(count, dtype=torch.int64))


def encoder() -> ImageInput:
    built = build_encoder(InputSpec(kind="image", channels=2, height=6, width=5), POISSON)
    assert isinstance(built, ImageInput)
    return built


def test_thresholds_are_summed_up_before_and_after() -> None:
    before, _ = lively_network("FC4-VOTE1")
    after, _ = lively_network("FC4-VOTE1")
    with torch.no_grad():
        before.spiking_layers()["fc1"].neurons.threshold.fill_(1.0)
        after.spiking_layers()["fc1"].neurons.threshold.copy_(torch.tensor([-1.0, 0.0, 2.0, 3.0]))
    (fc1, _) = layer_statistics(before, after, encoder(), images())
    assert (fc1.layer, fc1.mean, fc1.minimum, fc1.not_positive) == ("fc1", 1.0, -1.0, 0.5)
    assert fc1.std == pytest.approx(np.std([-1, 0, 2, 3]))
    histogram = fc1.histogram
    assert (histogram.low, histogram.high) == (-1.0, 3.0)
    assert [place for place, count in enumerate(histogram.before) if count] == [10]
    assert [place for place, count in enumerate(histogram.after) if count] == [0, 5, 15, 19]


def test_neurons_that_never_fire_or_always_do_are_counted() -> None:
    network, _ = lively_network("FC8-VOTE1")
    torch.nn.init.constant_(network.spiking_layers()["fc1"].synapses.weight, 0.01)
    torch.nn.init.zeros_(network.spiking_layers()["fc1"].synapses.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        network.spiking_layers()["fc1"].neurons.threshold.fill_(0.45)  # after two or three steps
        network.spiking_layers()["fc1"].neurons.threshold[:3] = 1e6
        network.spiking_layers()["fc1"].neurons.threshold[3:5] = -1e6
    (fc1, _) = layer_statistics(network, network, encoder(), images())
    assert (fc1.silent, fc1.saturated, fc1.samples) == (3, 2, 30)


def test_equal_thresholds_have_a_histogram_too() -> None:
    network, _ = lively_network("VOTE1")
    torch.nn.init.constant_(network.spiking_layers()["vote"].neurons.threshold, 0.25)
    (vote,) = layer_statistics(network, network, encoder(), images())
    assert (vote.histogram.low, vote.histogram.high) == (-0.25, 0.75)
    assert sum(vote.histogram.before) == sum(vote.histogram.after) == 3


def test_a_batch_norm_changes_no_statistics() -> None:
    network, _ = lively_network("4C3-MP2-VOTE1")
    folded = inference_form(network)
    assert [each.mean for each in layer_statistics(network, folded, encoder(), images())] == [
        pytest.approx(float(layer.neurons.threshold.detach().mean())) for layer in network.spiking_layers().values()
    ]


def test_a_published_card_and_its_report_show_them(tiny_store_root: Path) -> None:
    card = read_card(Store(tiny_store_root).checkpoint_path("tiny-image", 1))
    assert card.statistics is not None
    assert [each.layer for each in card.statistics] == ["conv1", "fc1", "vote"]
    for each, layer in zip(card.statistics, card.spiking_layers, strict=True):
        assert sum(each.histogram.after) == sum(each.histogram.before) == layer.neurons
        assert 0 <= each.silent + each.saturated <= layer.neurons
        assert each.std > 0
    report = card_report(card, 1)
    row = next(line for line in report.splitlines() if line.startswith("conv1") and "%" in line)
    assert f"{card.statistics[0].mean:.3f}" in row
    assert "█" in row
