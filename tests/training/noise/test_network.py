from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats  # type: ignore[import-untyped]

from contract.card import read_card
from contract.store import Store
from tests.training.networks import lively_network, spikes_in
from training.errors import ConfigError
from training.export.checkpoint import load_scripted
from training.noise.checkpoint import noisy_checkpoint
from training.noise.kinds import KINDS, parse_noise
from training.noise.network import noisy_network

STRUCTURE = "6C3-MP2-FC200-VOTE4"
INSIDE = [kind for kind in KINDS.values() if kind.target == "network"]


@torch.no_grad()
def run(text: str, batch: int = 30, draw: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    network, _ = lively_network(STRUCTURE)
    result: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = noisy_network(network, parse_noise(text, draw))(
        spikes_in(3, batch)
    )
    return result


@pytest.mark.parametrize("kind", [kind.name for kind in INSIDE])
def test_level_zero_changes_nothing_and_a_draw_is_repeated(kind: str) -> None:
    network, _ = lively_network(STRUCTURE)
    with torch.no_grad():
        clean = network(spikes_in(3, 30))
    assert all(torch.equal(one, other) for one, other in zip(run(f"{kind}=0"), clean, strict=True))
    noisy = run(f"{kind}=0.3")
    assert not torch.equal(noisy[1], clean[1])
    assert all(torch.equal(one, other) for one, other in zip(run(f"{kind}=0.3"), noisy, strict=True))
    assert not torch.equal(run(f"{kind}=0.3", draw=1)[1], noisy[1])


@pytest.mark.parametrize("kind", ["weights", "thresholds"])
def test_weights_and_thresholds_get_normal_deviates_of_their_own_size(kind: str) -> None:
    network, _ = lively_network(STRUCTURE)
    noisy = noisy_network(network, parse_noise(f"{kind}=0.5"))
    for before, after in zip(network.spiking_layers().values(), noisy.spiking_layers().values(), strict=True):
        if kind == "weights":
            one, other, size = before.synapses.weight, after.synapses.weight, before.synapses.weight.std()
        else:
            one, other, size = before.neurons.threshold, after.neurons.threshold, before.neurons.threshold.mean()
        deviates = ((other - one) / (0.5 * size)).detach().double().flatten().numpy()
        if len(deviates) > 100:
            assert stats.kstest(deviates, "norm").pvalue > 0.01
    unchanged = "neurons.threshold" if kind == "weights" else "synapses.weight"
    states = network.state_dict(), noisy.state_dict()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items() if name.endswith(unchanged))


def test_a_share_of_the_spikes_of_the_first_layer_is_lost() -> None:
    network, _ = lively_network(STRUCTURE)
    with torch.no_grad():
        clean = network(spikes_in(3, 30))[1][:, :, 0]
    lost = int(clean.sum()) - int(run("spikes=0.2")[1][:, :, 0].sum())
    assert stats.binomtest(lost, int(clean.sum()), 0.2).pvalue > 0.01


def test_lost_spikes_do_not_depend_on_the_batch() -> None:
    network, _ = lively_network(STRUCTURE)
    noise = parse_noise("spikes=0.2")
    x = spikes_in(3, 10)
    together, apart = noisy_network(network, noise), noisy_network(network, noise)
    with torch.no_grad():
        whole = together(x)[1]
        parts = torch.cat([apart(part)[1] for part in x.split(3, 1)], 1)
    assert torch.equal(whole, parts)


def test_silent_neurons_never_spike() -> None:
    network, _ = lively_network(STRUCTURE)
    noisy = noisy_network(network, parse_noise("silent=0.3"))
    caught: list[torch.Tensor] = []
    noisy.spiking_layers()["fc1"].neurons.register_forward_hook(lambda *hooked: caught.append(hooked[2][0]))
    with torch.no_grad():
        noisy(torch.ones(3, 100, 2, 6, 5))
        noisy(spikes_in(3, 100))
    ever = torch.cat(caught, 1).flatten(0, 1).amax(0)
    active = np.asarray(parse_noise("silent=0.3").generator(1).random(200)) >= 0.3
    assert not ever[torch.from_numpy(~active)].any()
    assert int((~active).sum()) > 30


def test_every_vote_is_heard() -> None:
    network, _ = lively_network("VOTE4")
    with torch.no_grad():
        clean = network(spikes_in(3, 30))
        for text in ("spikes=1", "silent=1"):
            noisy = noisy_network(network, parse_noise(text))(spikes_in(3, 30))
            assert all(torch.equal(one, other) for one, other in zip(noisy, clean, strict=True))


def test_noise_on_samples_is_not_for_a_network() -> None:
    with pytest.raises(ConfigError, match="gaussian is for images"):
        noisy_network(lively_network(STRUCTURE)[0], parse_noise("gaussian=0.1"))


def test_a_checkpoint_without_noise_is_the_published_one(tiny_store_root: Path) -> None:
    path = Store(tiny_store_root).checkpoint_path("tiny-image", 1)
    card = read_card(path)
    x = spikes_in(card.timesteps, 6, card.input.shape)
    with torch.inference_mode():
        noisy = noisy_checkpoint(card, path, parse_noise("weights=0"))(x)
        assert all(torch.equal(one, other) for one, other in zip(noisy, load_scripted(path)(x), strict=True))
