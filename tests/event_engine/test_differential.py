"""The event engine beside TorchScript, on random networks; `make fuzz` goes on with it for minutes."""

import numpy as np
import pytest
import torch

from contract.card import ImageEncoder
from event_engine.library import Library, built_libraries
from event_engine.network import EventNetwork
from tests.event_engine.differential import differences, make_case, random_case

SEEDS = range(8)
LIBRARIES = built_libraries()

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="the event engine was not built: there is no C++ compiler")


@pytest.mark.parametrize("seed", SEEDS)
def test_every_library_gives_the_numbers_of_torchscript(seed: int) -> None:
    case = random_case(seed)
    for path in LIBRARIES:
        assert list(differences(case, seed, Library(path))) == []


@pytest.mark.parametrize("structure", ["FC5-VOTE1", "3C5-VOTE1", "40R5-VOTE1"])
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_far_beyond_16_bits_are_exact(structure: str, sign: int) -> None:
    """All inputs fire, and all weights are the largest that there are."""
    case = make_case(structure, ImageEncoder(coding="poisson", timesteps=2), shape=(40, 6, 5))
    for name, tensor in case.module.state_dict().items():
        if name.endswith("synapses.weight"):
            tensor.fill_(sign * 1023 / 1024)
        if name.endswith("synapses.bias"):
            tensor.zero_()
        if name.endswith("neurons.threshold"):
            tensor.fill_(40 * sign)  # a sum that has left 16 bits lies on the other side
    x = torch.ones(2, 3, 40, 6, 5)
    with torch.inference_mode():
        expected = [result.numpy().swapaxes(0, 1) for result in case.module(x)]
    for path in LIBRARIES:
        found = EventNetwork(case.card, case.weights, Library(path)).forward(x.numpy())
        assert all(map(np.array_equal, found[:3], expected))
