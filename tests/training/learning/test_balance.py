import pytest
import torch

from tests.tiny import tiny_event_config, tiny_events_dataset, tiny_image_config
from tests.training.networks import lively_network, spikes_in
from training.data import Dataset, load_dataset
from training.data.batches import make_batch
from training.learning.balance import balance_thresholds
from training.learning.config import TrainingConfig
from training.learning.experiment import Experiment
from training.snn.encode import EventInput, build_encoder

DEEP = "-".join(["6C3"] * 8) + "-VOTE2"


def rates(config: TrainingConfig, dataset: Dataset, samples: int = 60) -> dict[str, float]:
    """The share of neurons that spike in a step, by layer, in the network before training."""
    experiment = Experiment(config, dataset)
    network, layers = experiment.initial_network()
    encoder = build_encoder(dataset.input, experiment.encoder)
    part = experiment.parts[0].subset(torch.arange(samples))
    if isinstance(encoder, EventInput):
        events, _ = make_batch(part, torch.arange(samples))
        x = encoder.events(events, samples)
    else:
        x = encoder.image(part.pixels, torch.arange(samples) + 1000)  # type: ignore[union-attr]
    with torch.no_grad():
        _, spikes, _ = network(x)
    return {
        layer.name: float(spikes[:, :, layer.spikes_index].sum()) / (x.shape[0] * samples * layer.neurons)
        for layer in layers
        if layer.spikes_index is not None
    }


def test_a_deep_network_without_batch_norm_is_silent_at_a_constant_threshold_and_not_when_balanced() -> None:
    digits = load_dataset("digits")
    constant = rates(tiny_image_config(network=DEEP, norm="none"), digits)
    balanced = rates(tiny_image_config(network=DEEP, norm="none", threshold_init="balanced", initial_rate=0.2), digits)
    assert constant["conv8"] == constant["vote"] == 0
    assert all(0.1 < rate < 0.3 for rate in balanced.values()), balanced


def test_event_networks_are_balanced_too() -> None:
    config = tiny_event_config(norm="none", threshold_init="balanced", initial_rate=0.15)
    assert all(0.1 < rate < 0.2 for rate in rates(config, tiny_events_dataset()).values())


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_the_rate_is_met_on_the_input_that_balanced_it(rate: float) -> None:
    network, layers = lively_network("6C3-MP2-FC40-VOTE8")
    x = spikes_in(3, 20)
    found = balance_thresholds(network.train(), x, rate)
    _, spikes, _ = network(x)
    for layer in layers:
        if layer.spikes_index is not None:
            share = float(spikes[:, :, layer.spikes_index].sum()) / (3 * 20 * layer.neurons)
            assert share == pytest.approx(rate, abs=0.01)
    for name, spiking in network.spiking_layers().items():
        assert bool((spiking.neurons.threshold == found[name]).all())
        assert found[name] > 0


def test_balancing_changes_thresholds_alone() -> None:
    network, _ = lively_network("4C3-DP0.5-VOTE2")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    balance_thresholds(network, spikes_in(3, 5), 0.1)
    assert not any(module.training for module in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) != name.endswith("neurons.threshold")


def test_a_layer_that_cannot_spike_gets_a_positive_threshold() -> None:
    network, _ = lively_network("VOTE2")
    torch.nn.init.constant_(network.spiking_layers()["vote"].synapses.weight, -1.0)
    torch.nn.init.constant_(network.spiking_layers()["vote"].synapses.bias, -1.0)  # type: ignore[arg-type]
    assert balance_thresholds(network, spikes_in(3, 5), 0.1) == {"vote": 1.0}


def test_the_card_says_where_balanced_thresholds_started() -> None:
    experiment = Experiment(tiny_image_config(threshold_init="balanced"), load_dataset("digits"))
    learning = experiment._learning(1)
    assert learning.threshold is None
    assert learning.initial_thresholds == experiment.initial_thresholds
    assert set(experiment.initial_thresholds) == {"conv1", "fc1", "vote"}
