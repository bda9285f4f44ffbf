"""From a trained network to a checkpoint: fold, round, script, write."""

import copy
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contract.card import CARD_FILE, Card
from contract.checkpoint import TRIAL_BATCHES, CheckpointError, check_archive, check_outputs, methods_of, read_archive
from contract.probes import Probe, ProbeRecord, make_record, probes, write_record
from contract.reference import Reference, read_reference, write_reference
from contract.store import CHECKPOINT_FILE, STATE_FILE, Store
from training.errors import ConfigError, DivergedError
from training.export.grid import grid_exponent, to_grid
from training.snn.builder import build_from_card
from training.snn.encode import EventInput, ImageInput
from training.snn.layers import ChannelNorm, SpikingLayer, Stateless
from training.snn.network import SpikingNetwork


class InferenceModule(nn.Module):
    """The content of the archive: encoder and network behind the methods that the service calls."""

    def __init__(self, encoder: ImageInput | EventInput, network: SpikingNetwork) -> None:
        super().__init__()
        self.encoder = encoder
        self.network = network

    @torch.jit.export
    def encode_image(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Network input `[T, B, C, H, W]` for uint8 `[B, C, H, W]` and seeds int64 `[B]`."""
        return self.encoder.image(images, seeds)

    @torch.jit.export
    def encode_events(self, events: Tensor, batch_size: int) -> Tensor:
        """Network input `[T, B, C, H, W]` for events int64 `[N, 5]`: sample, t (µs), x, y, p."""
        return self.encoder.events(events, batch_size)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores `[T, B, K]`, spikes `[T, B, L]`, synaptic operations `[T, B, S]`."""
        return self.network(x)  # type: ignore[no-any-return]

    @torch.jit.export
    def initial_state(self, batch_size: int) -> list[Tensor]:
        """Membrane potentials at rest."""
        return self.network.initial_state(batch_size)

    @torch.jit.export
    def step(self, x: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """One time step of `forward`, with the membrane potentials before and after it."""
        return self.network.step(x, state)


def inference_form(network: SpikingNetwork) -> SpikingNetwork:
    """A copy for inference: batch norm and the input scale are folded into the weights, which are rounded to a grid.

    Layers whose inputs are not whole numbers (behind average pooling) are rounded too, but their sums are not exact.
    """
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise DivergedError("training diverged: weights, thresholds or statistics are not finite numbers")
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for layer in network.spiking_layers().values():
        weight, bias = folded(layer)
        if layer.max_input > 1:
            weight = weight * network.input_scale
        exponent = grid_exponent(weight, bias, layer.max_input)
        _install(layer, to_grid(weight, exponent), None if bias is None else to_grid(bias, exponent))
    network.input_scale = 1.0
    for name, stage in list(network.stages.items()):
        if isinstance(stage, Stateless) and isinstance(stage.function, nn.Dropout):
            del network.stages[name]
    return network


def folded(layer: SpikingLayer) -> tuple[Tensor, Tensor | None]:
    """The layer's weights and bias in float64, with the batch norm's running statistics folded in."""
    weight = layer.synapses.weight.detach().double()
    bias = None if layer.synapses.bias is None else layer.synapses.bias.detach().double()
    if not isinstance(layer.norm, ChannelNorm):
        return weight, bias
    norm = layer.norm.norm
    assert norm.running_var is not None
    assert norm.running_mean is not None
    gain = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    shift = norm.bias.detach().double() - norm.running_mean.double() * gain
    if bias is not None:
        shift = shift + bias * gain
    return weight * gain.view(-1, *(1 for _ in weight.shape[1:])), shift


def _install(layer: SpikingLayer, weight: Tensor, bias: Tensor | None) -> None:
    synapses = layer.synapses
    layer.norm = nn.Identity()
    synapses.weight = nn.Parameter(weight.float(), requires_grad=False)
    synapses.bias = None if bias is None else nn.Parameter(bias.float(), requires_grad=False)


def script(network: SpikingNetwork, encoder: ImageInput | EventInput) -> torch.jit.ScriptModule:
    """The scripted inference form of a network in training form, together with its encoder."""
    module = InferenceModule(encoder, inference_form(network)).eval()
    return torch.jit.script(module)


def publish(
    store: Store,
    card: Card,
    scripted: torch.jit.ScriptModule,
    network: SpikingNetwork,
    reference: Reference | None = None,
) -> int:
    """Write the checkpoint, its training state and its reference as the model's next version; returns the version.

    Raises `ConfigError`, and publishes nothing, where a reader would refuse the checkpoint, such as for a card that is
    too large.
    """
    return store.publish(card.name, lambda folder: _write(folder, card, scripted, _state(network), reference))


def publish_again(store: Store, name: str, card: Card, checkpoint: Path) -> int:
    """Write a published network with another card as the next version of `name`; returns the version.

    Its training state and its reference go with it, if it has them. Raises `ConfigError` as `publish` does, and
    `RuntimeError` if torch cannot load the checkpoint.
    """
    scripted, state = load_scripted(checkpoint), checkpoint.with_name(STATE_FILE)
    kept = state.read_bytes() if state.is_file() else None
    reference = read_reference(checkpoint)
    return store.publish(name, lambda folder: _write(folder, card, scripted, kept, reference))


def _write(
    folder: Path, card: Card, scripted: torch.jit.ScriptModule, state: bytes | None, reference: Reference | None
) -> None:
    archive = io.BytesIO()  # torch hides a full disk's errno; Python's files do not
    torch.jit.save(scripted, archive, _extra_files={CARD_FILE: card.model_dump_json(indent=2)})
    try:
        check_archive(archive.getvalue())
    except CheckpointError as error:
        raise ConfigError(f"nothing was published, because the service could not load it: {error}") from error
    (folder / CHECKPOINT_FILE).write_bytes(archive.getbuffer())
    write_record(folder / CHECKPOINT_FILE, probe_record(archive.getvalue(), card))
    if state is not None:
        (folder / STATE_FILE).write_bytes(state)
    if reference is not None:
        write_reference(folder / CHECKPOINT_FILE, reference)


def find_published(store: Store, name: str, network: SpikingNetwork) -> int | None:
    """The newest version of `name` if it was exported from exactly this network, otherwise None."""
    versions = store.versions(name)
    if not versions:
        return None
    state = store.checkpoint_path(name, versions[-1]).with_name(STATE_FILE)
    return versions[-1] if state.is_file() and state.read_bytes() == _state(network) else None


def _state(network: SpikingNetwork) -> bytes:
    return safetensors.torch.save({name: value.contiguous() for name, value in network.state_dict().items()})


def rebuild(card: Card, state_file: Path) -> SpikingNetwork:
    """The network in training form from which a checkpoint was exported, rebuilt from card and training state."""
    network, _ = build_from_card(card, len(card.labels))
    network.load_state_dict(safetensors.torch.load_file(state_file))
    return network.eval()


def load_scripted(checkpoint: Path) -> torch.jit.ScriptModule:
    """The archive itself, as it was published; raises `RuntimeError` if torch cannot load it."""
    return torch.jit.load(str(checkpoint), map_location="cpu")  # type: ignore[no-any-return]


def works(checkpoint: Path) -> bool:
    """Whether the service can load the checkpoint and run it: the archive is complete, and a trial obeys the card."""
    try:
        data, card = read_archive(checkpoint)
        module = freeze(load_archive(data), card)
        for batch in TRIAL_BATCHES:
            run_probes(module, card, [probes(card)[0]] * batch)
    except Exception:  # torch fails on an archive without a network in many ways, and a network may raise anything
        return False
    return True


def probe_record(data: bytes, card: Card) -> ProbeRecord:
    """The record of what the network of the archive `data` answers to its probes."""
    samples = probes(card)
    return make_record(data, samples, run_probes(load_archive(data), card, samples))


def load_archive(data: bytes) -> torch.jit.ScriptModule:
    """The scripted module of an archive that `read_archive` has read."""
    return torch.jit.load(io.BytesIO(data), map_location="cpu").eval()  # type: ignore[no-any-return]


def freeze(module: torch.jit.ScriptModule, card: Card) -> torch.jit.ScriptModule:
    """The module as the service runs it; raises `RuntimeError` where it lacks a method."""
    return torch.jit.freeze(module, preserved_attrs=methods_of(card), optimize_numerics=False)  # type: ignore[no-any-return]


@torch.inference_mode()
def run_probes(module: torch.jit.ScriptModule, card: Card, samples: list[Probe]) -> list[NDArray[np.int64]]:
    """Scores, spikes, synaptic operations `[B, T, ...]` and the non-zero inputs `[B]` of a batch of probes.

    Raises `ModelError` if the outputs are not what the card says.
    """
    x = encode(module, card, samples)
    outputs = [result.numpy() for result in module(x)]
    check_outputs(card, (card.timesteps, len(samples)), *outputs)
    by_sample = [output.astype(np.int64).swapaxes(0, 1) for output in outputs]
    return [*by_sample, (x != 0).sum((0, 2, 3, 4)).numpy()]


def encode(module: torch.jit.ScriptModule, card: Card, samples: Sequence[Probe]) -> Tensor:
    """The network's input `[T, B, C, H, W]` for probes."""
    if card.input.kind == "image":
        return module.encode_image(torch.from_numpy(np.stack(samples)), torch.arange(len(samples)))  # type: ignore[no-any-return]
    index = np.repeat(np.arange(len(samples)), [len(events) for events in samples])
    events = torch.from_numpy(np.column_stack([index, np.concatenate(samples)]))
    return module.encode_events(events, len(samples))  # type: ignore[no-any-return]
