import math

import pytest
import torch
from torch import nn

from contract.card import InputSpec
from tests.tiny import SENSOR, tiny_event_config, tiny_image_config
from training.data import load_dataset
from training.learning.config import TrainingConfig, load_preset
from training.learning.experiment import Experiment
from training.learning.module import SpikingModule
from training.snn.builder import build_network
from training.snn.encode import build_encoder
from training.snn.layers import ChannelNorm, SpikingLayer, Stateless

DIGIT = InputSpec(kind="image", channels=1, height=8, width=8)
MNIST = InputSpec(kind="image", channels=1, height=28, width=28)


def module_of(config: TrainingConfig, spec: InputSpec = DIGIT, classes: int = 10) -> SpikingModule:
    encoder = config.encoder(spec)
    network, _ = build_network(
        config.network,
        spec=spec,
        encoder=encoder,
        neuron=config.neuron,
        classes=classes,
        norm=config.norm,
        bias=config.bias,
    )
    module = SpikingModule(network, build_encoder(spec, encoder), config)
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    return module


def test_the_loss_is_the_squared_error_of_firing_rates_against_one_hot_labels() -> None:
    module = module_of(tiny_image_config(network="VOTE2", timesteps=2), classes=10)

    class Fixed(nn.Module):
        classes, voters = 3, 2

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            votes = torch.tensor([[[2.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]]])  # [T, B, K]
            return votes, torch.zeros(2, 1, 1), torch.zeros(2, 1, 1)

    module.network = Fixed()  # type: ignore[assignment]
    batch = torch.zeros((1, 1, 8, 8), dtype=torch.uint8), torch.tensor([2])
    # rates over two voters and two steps: 3/4, 0, 1/4, against 0, 0, 1
    assert float(module.training_step(batch, 0)) == pytest.approx((0.75**2 + 0 + 0.75**2) / 3)


def test_the_loss_of_each_step_is_the_mean_of_their_errors() -> None:
    module = module_of(tiny_image_config(network="VOTE2", timesteps=2, loss="step"), classes=10)

    class Fixed(nn.Module):
        classes, voters = 3, 2

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            votes = torch.tensor([[[2.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]]])  # [T, B, K]
            return votes, torch.zeros(2, 1, 1), torch.zeros(2, 1, 1)

    module.network = Fixed()  # type: ignore[assignment]
    batch = torch.zeros((1, 1, 8, 8), dtype=torch.uint8), torch.tensor([2])
    # rates of the first step 1, 0, 1/2 and of the second 1/2, 0, 0, against 0, 0, 1
    assert float(module.training_step(batch, 0)) == pytest.approx(((1 + 0.5**2) / 3 + (0.5**2 + 1) / 3) / 2)


def test_the_learning_rate_can_fall_along_a_cosine() -> None:
    module = module_of(tiny_image_config(epochs=4, learning_rate=0.2, learning_rate_schedule="cosine"))
    configured = module.configure_optimizers()
    rates = []
    for _ in range(5):
        rates.append(configured["optimizer"].param_groups[0]["lr"])
        configured["optimizer"].step()
        configured["lr_scheduler"].step()
    assert rates == pytest.approx([0.1 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(5)])


def test_weights_biases_and_thresholds_have_rates_and_decays_of_their_own() -> None:
    config = tiny_image_config(
        learning_rate=0.03,
        learning_rate_decay=0.5,
        weight_decay=0.02,
        bias_weight_decay=0.01,
        threshold_weight_decay=0.005,
        threshold_learning_rate_multiplier=10,
    )
    module = module_of(config)
    found = module.configure_optimizers()
    optimizer, scheduler = found["optimizer"], found["lr_scheduler"]
    assert isinstance(optimizer, torch.optim.Adam)
    groups = optimizer.param_groups
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(0.03, 0.02), (0.03, 0.01), (0.3, 0.005)]
    layers = module.network.spiking_layers().values()
    named = {id(parameter): name for name, parameter in module.network.named_parameters()}
    members = [{named[id(parameter)] for parameter in group["params"]} for group in groups]
    assert members[0] == {f"stages.{name}.synapses.weight" for name in ("conv1", "fc1", "vote")}
    assert members[1] == {
        *(f"stages.conv1.norm.norm.{part}" for part in ("weight", "bias")),
        *(f"stages.{name}.synapses.bias" for name in ("fc1", "vote")),
    }
    assert members[2] == {named[id(layer.neurons.threshold)] for layer in layers}
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in groups] == [0.015, 0.015, 0.15]


@pytest.mark.parametrize(("mode", "groups"), [("sl", 2), ("tl", 1), ("stl", 3)])
def test_the_optimizer_has_what_learns(mode: str, groups: int) -> None:
    module = module_of(tiny_image_config(mode=mode))
    found = module.configure_optimizers()["optimizer"].param_groups
    learning = [id(parameter) for parameter in module.network.parameters() if parameter.requires_grad]
    assert len(found) == groups
    assert sorted(id(parameter) for group in found for parameter in group["params"]) == sorted(learning)


def test_decay_moves_no_threshold() -> None:
    module = module_of(tiny_image_config(threshold=1.0, weight_decay=0.5))
    optimizer = module.configure_optimizers()["optimizer"]
    for parameter in module.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = module.network.state_dict()["stages.fc1.synapses.weight"].clone()
    optimizer.step()
    assert not torch.equal(module.network.state_dict()["stages.fc1.synapses.weight"], before)
    for layer in module.network.spiking_layers().values():
        assert bool((layer.neurons.threshold == 1).all())


def test_thresholds_do_not_fall_below_their_floor() -> None:
    module = module_of(tiny_image_config(threshold_floor=0.25))
    thresholds = [layer.neurons.threshold for layer in module.network.spiking_layers().values()]
    with torch.no_grad():
        for threshold in thresholds:
            threshold.uniform_(-1, 1)
    above = [threshold.detach() > 0.25 for threshold in thresholds]
    before = [threshold.detach().clone() for threshold in thresholds]
    module.on_train_batch_end(None, (torch.zeros(0), torch.zeros(0)), 0)
    for threshold, was, kept in zip(thresholds, before, above, strict=True):
        assert float(threshold.detach().min()) == 0.25
        assert torch.equal(threshold[kept], was[kept])


def test_training_draws_anew_for_every_sample_and_step_and_validation_uses_seed_zero() -> None:
    module = module_of(tiny_image_config())
    pixels = torch.full((2, 1, 8, 8), 128, dtype=torch.uint8)
    batch = pixels, torch.tensor([0, 1])
    draws = []
    for step in (0, 1, 0):
        module.on_train_batch_start(batch, step)
        draws.append(module.encode(pixels, 2, draw=True))
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0][:, 0], draws[0][:, 1])
    zero = module.encoder.image(pixels, torch.zeros(2, dtype=torch.int64))
    assert torch.equal(module.encode(pixels, 2, draw=False), zero)


def test_training_samples_are_augmented_as_configured() -> None:
    image = module_of(tiny_image_config(shift=2))
    pixels = torch.zeros((50, 1, 8, 8), dtype=torch.uint8)
    pixels[:, :, 4, 4] = 9
    places = {tuple(place) for place in image.augment(pixels, 50).nonzero()[:, 2:].tolist()}
    assert len(places) > 10
    assert all(2 <= row <= 6 and 2 <= column <= 6 for row, column in places)

    corner = torch.zeros((50, 1, 8, 8), dtype=torch.uint8)
    corner[:, :, 0, 1] = 9
    flipped = module_of(tiny_image_config(flip=True)).augment(corner, 50)
    assert {tuple(place) for place in flipped.nonzero()[:, 2:].tolist()} == {(0, 1), (0, 6)}
    bars = torch.tensor([[sample, 0, 1, 2, 0] for sample in range(50)])
    assert module_of(tiny_event_config(flip=True), SENSOR, 2).augment(bars, 50)[:, 2].unique().tolist() == [1, 6]

    recording = module_of(tiny_event_config(shift=1, event_drop=0.5), SENSOR, 2)
    events = torch.tensor([[0, 5, 4, 4, 1]]).repeat(1000, 1)
    augmented = recording.augment(events, 1)
    assert 400 < len(augmented) < 1000
    assert augmented[:, 2].unique().numel() == augmented[:, 3].unique().numel() == 1


def test_every_mode_sees_the_same_augmented_samples() -> None:
    pixels = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8).repeat(20, 1, 1, 1)
    batch = pixels, torch.zeros(20, dtype=torch.int64)
    seen: list[torch.Tensor] = []
    for mode, network in (("stl", "FC8-DP0.5-VOTE2"), ("sl", "FC8-VOTE2"), ("tl", "4C3-VOTE2"), ("stl", "FC8-VOTE2")):
        module = module_of(tiny_image_config(mode=mode, network=network, flip=True, shift=2))
        module.training_step(batch, 0)
        module.on_train_batch_start(batch, len(seen) // 3)
        seen.append(module.augment(pixels, 20))
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[3])  # another step


def test_the_authors_demo_is_built_as_published() -> None:
    """128C5 (padding 2) - batch norm - LIF - pool, twice; dropout around FC2048; ten voters a class; no bias at all."""
    config = TrainingConfig(**load_preset("mnist-paper"))
    network = module_of(config, MNIST).network
    shown: list[object] = []
    for stage in network.stages.values():
        if isinstance(stage, SpikingLayer):
            synapses = stage.synapses
            shown.append((type(synapses).__name__, tuple(synapses.weight.shape), synapses.bias is not None))
        elif isinstance(stage, Stateless):
            shown.append((type(stage.function).__name__, getattr(stage.function, "p", None), None))
    assert shown == [
        ("Conv2d", (128, 1, 5, 5), False),
        ("MaxPool", None, None),
        ("Conv2d", (128, 128, 5, 5), False),
        ("MaxPool", None, None),
        ("Dropout", 0.5, None),
        ("Linear", (2048, 128 * 7 * 7), False),
        ("Dropout", 0.5, None),
        ("Linear", (100, 2048), False),
    ]
    for layer in network.spiking_layers().values():
        assert (layer.neurons.tau, layer.neurons.alpha) == (0.5, 2.0)
        assert layer.neurons.threshold.shape == tuple(layer.neurons.shape)
    conv = network.spiking_layers()["conv1"].synapses
    assert isinstance(conv, nn.Conv2d)
    assert conv.padding == (2, 2)
    assert (config.timesteps, config.coding, config.batch_size, config.epochs) == (4, "poisson", 50, 100)
    assert (config.learning_rate, config.learning_rate_decay, config.weight_decay) == (1e-3, 0.93, 1e-6)
    assert (config.bias_weight_decay, config.threshold_weight_decay) == (1e-6, 1e-6)
    assert (config.threshold, config.threshold_std, config.mode, config.norm) == (2.0, 1e-4, "stl", "step")


def test_thresholds_start_where_the_configuration_says() -> None:
    config = tiny_image_config(threshold=2.0, threshold_std=0.1)
    network, _ = Experiment(config, load_dataset("digits")).initial_network()
    values = torch.cat([layer.neurons.threshold.flatten() for layer in network.spiking_layers().values()]).detach()
    assert float(values.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(values.std()) == pytest.approx(0.1, abs=0.02)


def test_the_neuron_is_built_as_configured() -> None:
    module = module_of(
        tiny_image_config(
            tau=0.25, surrogate_alpha=3.0, surrogate_scale="robust", threshold_floor=0.1, threshold_scope="channel"
        )
    )
    for layer in module.network.spiking_layers().values():
        assert (layer.neurons.tau, layer.neurons.alpha, layer.neurons.scale) == (0.25, 3.0, "robust")
        assert layer.neurons.threshold.numel() == layer.neurons.shape[0]


def test_dropout_is_active_in_training_only() -> None:
    module = module_of(tiny_image_config(network="DP0.5-VOTE2"))
    stage = module.network.stages["dropout1"]
    assert isinstance(stage, Stateless)
    x = torch.ones(2, 3, 1, 8, 8)
    assert float((stage.train()(x, [])[0] == 0).float().mean()) == pytest.approx(0.5, abs=0.15)
    assert torch.equal(stage.eval()(x, [])[0], x)


@pytest.mark.parametrize(("norm", "gain"), [("step", 1.0), ("time", 0.5)])
def test_batch_norm_over_batch_and_time_starts_at_the_threshold(norm: str, gain: float) -> None:
    network, _ = Experiment(tiny_image_config(threshold=0.5, norm=norm), load_dataset("digits")).initial_network()
    layer = network.spiking_layers()["conv1"]
    assert isinstance(layer.norm, ChannelNorm)
    assert layer.norm.per_step == (norm == "step")
    assert bool((layer.norm.norm.weight == gain).all())


def test_a_network_without_batch_norm_has_a_bias_instead() -> None:
    layers = module_of(tiny_image_config(norm="none")).network.spiking_layers()
    assert isinstance(layers["conv1"].norm, nn.Identity)
    assert all(layer.synapses.bias is not None for layer in layers.values())
    without = module_of(tiny_image_config(norm="none", bias=False)).network.spiking_layers()
    assert all(layer.synapses.bias is None for layer in without.values())
