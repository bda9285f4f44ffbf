"""The share of possible operations, against the operations that the network counts, and as a term of the loss."""

import pytest
import torch

from tests.tiny import tiny_image_config
from training.data import load_dataset
from training.learning.experiment import Experiment
from training.learning.synaptic_activity import SynapticActivity
from training.snn.network import SpikingNetwork


def network_of(structure: str, coding: str = "poisson") -> SpikingNetwork:
    config = tiny_image_config(network=structure, norm="none", threshold=0.1, coding=coding)
    network, _ = Experiment(config, load_dataset("digits")).initial_network()
    return network.train()


@pytest.mark.parametrize("structure", ["3C3-4R3-2R3-MP2-FC9-VOTE2", "VOTE1"])
def test_the_share_is_that_of_the_operations_which_the_network_counts(structure: str) -> None:
    network, steps, batch = network_of(structure), 3, 5
    x = (torch.rand((steps, batch, 1, 8, 8), generator=torch.Generator().manual_seed(1)) < 0.4).float()
    layers = network.spiking_layers().values()
    with SynapticActivity(network) as activity:
        _, _, synops = network(x)
    with torch.no_grad():
        network(torch.zeros_like(x))  # outside of the block: not measured
    columns = [column for column, layer in enumerate(layers) if not layer.analog]
    dense = [float(layer.fan_out.sum()) * layer.synapses.weight.shape[1] for layer in layers]
    dense = [
        each if layer.fan_out.numel() > 1 else float(layer.synapses.weight.numel())
        for each, layer in zip(dense, layers, strict=True)
    ]
    counted = float(synops[:, :, columns].sum()) if columns else 0.0
    possible = steps * batch * sum(dense[column] for column in columns)
    assert float(activity.share.detach()) == pytest.approx(counted / possible if columns else 0.0, rel=1e-6)
    assert counted > 0 or not columns


def test_its_gradient_lowers_the_operations() -> None:
    network = network_of("3C3-MP2-FC9-VOTE2", "direct")  # whose first layer's operations are no accumulates
    x = (torch.rand((4, 6, 1, 8, 8), generator=torch.Generator().manual_seed(2)) < 0.4).float()
    learns = torch.optim.SGD(network.parameters(), lr=1.0)
    shares = []
    for _ in range(20):
        with SynapticActivity(network) as activity:
            network(x)
        shares.append(float(activity.share.detach()))
        learns.zero_grad()
        activity.share.backward()
        learns.step()
    assert shares[-1] < 0.1 * shares[0]


def test_nothing_of_it_stays_behind() -> None:
    network = network_of("3C3-VOTE2")
    with SynapticActivity(network):
        pass
    assert not any(layer._forward_pre_hooks for layer in network.spiking_layers().values())
