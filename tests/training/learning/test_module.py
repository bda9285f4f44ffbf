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
from training.snn.layers import SpikingLayer, Stateless

DIGIT = InputSpec(kind="image", channels=1, height=8, width=8)
MNIST = InputSpec(kind="image", channels=1, height=28, width=28)


def module_of(config: TrainingConfig, spec: InputSpec = DIGIT, classes: int = 10) -> SpikingModule:
    encoder = config.encoder(spec)
    network, _ = build_network(config.network, spec=spec, encoder=encoder, neuron=config.neuron, classes=classes)
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


def test_the_optimizer_has_the_configured_rate_decay_and_parameters() -> None:
    config = tiny_image_config(mode="tl", learning_rate=0.03, weight_decay=0.02, learning_rate_decay=0.5)
    module = module_of(config)
    found = module.configure_optimizers()
    optimizer, scheduler = found["optimizer"], found["lr_scheduler"]
    (group,) = optimizer.param_groups
    thresholds = [layer.neurons.threshold for layer in module.network.spiking_layers().values()]
    assert isinstance(optimizer, torch.optim.Adam)
    assert (group["lr"], group["weight_decay"]) == (0.03, 0.02)
    assert [id(parameter) for parameter in group["params"]] == [id(threshold) for threshold in thresholds]
    optimizer.step()
    scheduler.step()
    assert group["lr"] == 0.015


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

    recording = module_of(tiny_event_config(shift=1, event_drop=0.5), SENSOR, 2)
    events = torch.tensor([[0, 5, 4, 4, 1]]).repeat(1000, 1)
    augmented = recording.augment(events, 1)
    assert 400 < len(augmented) < 1000
    assert augmented[:, 2].unique().numel() == augmented[:, 3].unique().numel() == 1


def test_the_authors_demo_is_built_as_published() -> None:
    """128C5 (padding 2, no bias) - batch norm - LIF - pool, twice; dropout around FC2048; ten voters a class."""
    config = TrainingConfig(**load_preset("mnist-paper"))
    encoder = config.encoder(MNIST)
    network, _ = build_network(config.network, spec=MNIST, encoder=encoder, neuron=config.neuron, classes=10)
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
        ("Linear", (2048, 128 * 7 * 7), True),
        ("Dropout", 0.5, None),
        ("Linear", (100, 2048), True),
    ]
    for layer in network.spiking_layers().values():
        assert (layer.neurons.tau, layer.neurons.alpha) == (0.5, 2.0)
        assert layer.neurons.threshold.shape == tuple(layer.neurons.shape)
    conv = network.spiking_layers()["conv1"].synapses
    assert isinstance(conv, nn.Conv2d)
    assert conv.padding == (2, 2)
    assert (config.timesteps, config.coding, config.batch_size, config.epochs) == (4, "poisson", 50, 100)
    assert (config.learning_rate, config.learning_rate_decay, config.weight_decay) == (1e-3, 0.93, 1e-6)
    assert (config.threshold, config.threshold_std, config.mode) == (2.0, 0.01, "stl")


def test_thresholds_start_where_the_configuration_says() -> None:
    config = tiny_image_config(threshold=2.0, threshold_std=0.1)
    network, _ = Experiment(config, load_dataset("digits")).initial_network()
    values = torch.cat([layer.neurons.threshold.flatten() for layer in network.spiking_layers().values()]).detach()
    assert float(values.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(values.std()) == pytest.approx(0.1, abs=0.02)


def test_the_neuron_is_built_as_configured() -> None:
    module = module_of(tiny_image_config(tau=0.25, surrogate_alpha=3.0, threshold_scope="channel"))
    for layer in module.network.spiking_layers().values():
        assert (layer.neurons.tau, layer.neurons.alpha) == (0.25, 3.0)
        assert layer.neurons.threshold.numel() == layer.neurons.shape[0]


def test_dropout_is_active_in_training_only() -> None:
    module = module_of(tiny_image_config(network="DP0.5-VOTE2"))
    stage = module.network.stages["dropout1"]
    assert isinstance(stage, Stateless)
    x = torch.ones(2, 3, 1, 8, 8)
    assert float((stage.train()(x, [])[0] == 0).float().mean()) == pytest.approx(0.5, abs=0.15)
    assert torch.equal(stage.eval()(x, [])[0], x)
