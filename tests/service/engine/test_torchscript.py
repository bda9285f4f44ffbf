import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from contract.card import CARD_FILE, FORMAT_VERSION, Card, read_card
from contract.checkpoint import CheckpointError
from contract.errors import ModelError
from contract.store import STATE_FILE, Store
from service.engine.device import CPU
from service.engine.interface import Activity, EventSample, ImageSample, Sample
from service.engine.load import Preference
from service.engine.torchscript import TorchScriptEngine
from tests.service.engine.engines import ENGINES
from tests.service.engine.engines import load as load_with
from tests.tiny import moving_bars, rewritten
from training.data import load_dataset
from training.export.checkpoint import inference_form, rebuild


def load(root: Path, name: str) -> TorchScriptEngine:
    return TorchScriptEngine.load(Store(root).checkpoint_path(name, 1), CPU)


def samples_for(name: str, count: int) -> list[Sample]:
    if name == "tiny-events":
        bars = moving_bars(count, seed=7)
        return [EventSample(bars[index]) for index in range(count)]
    return [ImageSample(pixels.numpy(), seed) for seed, pixels in enumerate(load_dataset("digits").test.pixels[:count])]  # type: ignore[union-attr]


def same(one: Activity, other: Activity) -> bool:
    return (
        np.array_equal(one.scores, other.scores)
        and np.array_equal(one.spikes, other.spikes)
        and np.array_equal(one.synops, other.synops)
        and one.input == other.input
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["tiny-image", "tiny-direct", "tiny-events"])
def test_a_sample_gives_the_same_bits_alone_in_any_batch_and_after_any_other(
    tiny_store_root: Path, name: str, engine: Preference
) -> None:
    checkpoint = load_with(tiny_store_root, name, engine)
    samples = samples_for(name, 33)
    together = checkpoint.run(samples)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            for size in (1, 2, 7):
                for start in range(0, 28, size):
                    found = checkpoint.run(samples[start : start + size])
                    assert all(same(one, other) for one, other in zip(found, together[start:], strict=False))
    finally:
        torch.set_num_threads(threads)
    assert all(same(one, other) for one, other in zip(checkpoint.run(samples[::-1])[::-1], together, strict=True))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["tiny-image", "tiny-direct", "tiny-events"])
def test_activity_has_the_cards_shape_and_the_network_is_active(
    tiny_store_root: Path, name: str, engine: Preference
) -> None:
    checkpoint = load_with(tiny_store_root, name, engine)
    card = checkpoint.card
    for activity in checkpoint.run(samples_for(name, 5)):
        assert activity.scores.shape == (card.timesteps, len(card.labels))
        assert activity.spikes.shape == (card.timesteps, len(card.spiking_layers))
        assert activity.synops.shape == (card.timesteps, len(card.synaptic_layers))
        assert 0 < activity.spikes.sum() <= card.neurons * card.timesteps
        assert activity.scores.max() <= card.voters
        assert activity.scores.sum() == activity.spikes[:, -1].sum()
        assert activity.input > 0


@pytest.mark.parametrize("name", ["tiny-image", "tiny-direct", "tiny-events"])
def test_the_loaded_and_frozen_network_equals_the_one_it_was_exported_from(tiny_store_root: Path, name: str) -> None:
    path = Store(tiny_store_root).checkpoint_path(name, 1)
    checkpoint = TorchScriptEngine.load(path, CPU)
    network = inference_form(rebuild(checkpoint.card, path.with_name(STATE_FILE)))
    samples = samples_for(name, 9)
    with torch.inference_mode():
        scores, spikes, synops = network(checkpoint._encode(samples))
    for row, activity in enumerate(checkpoint.run(samples)):
        assert np.array_equal(activity.scores, scores[:, row].numpy())
        assert np.array_equal(activity.spikes, spikes[:, row].numpy())
        assert np.array_equal(activity.synops, synops[:, row].numpy())


@pytest.mark.parametrize("engine", ENGINES)
def test_another_seed_is_another_poisson_draw(tiny_store_root: Path, engine: Preference) -> None:
    checkpoint = load_with(tiny_store_root, "tiny-image", engine)
    pixels = load_dataset("digits").test.pixels[0].numpy()  # type: ignore[union-attr]
    first, again, largest = checkpoint.run(
        [ImageSample(pixels, 5), ImageSample(pixels, 5), ImageSample(pixels, 2**63 - 1)]
    )
    assert same(first, again)
    assert not same(first, largest)


def test_gradients_are_off(tiny_store_root: Path) -> None:
    checkpoint = load(tiny_store_root, "tiny-image")
    assert not list(checkpoint._module.parameters())
    assert torch.is_grad_enabled()
    checkpoint.run(samples_for("tiny-image", 1))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("engine", ENGINES)
def test_images_and_recordings_do_not_share_a_batch(tiny_store_root: Path, engine: Preference) -> None:
    checkpoint = load_with(tiny_store_root, "tiny-image", engine)
    with pytest.raises(ValueError, match="not both"):
        checkpoint.run(samples_for("tiny-image", 1) + samples_for("tiny-events", 1))


def with_card(path: Path, **changes: object) -> None:
    text = read_card(path).model_copy(update=changes).model_dump_json().encode()
    rewritten(path, lambda name, data: text if name.endswith(CARD_FILE) else data)


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        TorchScriptEngine.load(path, CPU).warm_up()
    assert str(path.parent) not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no model.pt" in refusal(tmp_path / "model.pt")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_refused(archive: Path, share: float) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    assert "truncated" in refusal(archive)


def test_a_flipped_bit_in_any_member_is_refused(archive: Path) -> None:
    whole = archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        members = [member for member in opened.infolist() if member.compress_size > 20]
    for member in members:
        damaged = bytearray(whole)
        name_and_extra = whole[member.header_offset + 26 : member.header_offset + 30]
        start = member.header_offset + 30 + sum(int.from_bytes(name_and_extra[i : i + 2], "little") for i in (0, 2))
        damaged[start + member.compress_size // 2] ^= 0x10
        archive.write_bytes(damaged)
        assert refusal(archive)


def test_an_archive_without_a_card_is_refused(archive: Path) -> None:
    rewritten(archive, lambda name, data: None if name.endswith(CARD_FILE) else data)
    assert "does not hold exactly one card.json" in refusal(archive)


def test_a_card_of_an_unknown_format_is_refused(archive: Path) -> None:
    with_card(archive, format_version=FORMAT_VERSION + 1)
    assert "format_version 2 is not supported" in refusal(archive)


def test_a_card_that_is_not_one_is_refused(archive: Path) -> None:
    rewritten(archive, lambda name, data: b'{"name": 1}' if name.endswith(CARD_FILE) else data)
    assert "card.json is not valid" in refusal(archive)


def test_a_card_of_another_network_is_refused(archive: Path, tiny_store_root: Path) -> None:
    other = read_card(tiny_store_root / "tiny-direct" / "1" / "model.pt")
    with_card(archive, layers=other.layers)
    assert "as its card says: the network's spikes do not have the shape" in refusal(archive)


def test_an_archive_that_unpacks_to_far_more_than_it_holds_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("model/code/bomb.py", b"\0" * 65_000_000)
    assert "unpacks to more than" in refusal(archive)


def test_a_zip_that_holds_no_network_is_refused(archive: Path) -> None:
    rewritten(archive, lambda name, data: data if name.endswith(CARD_FILE) else None)
    assert "does not hold a scripted network" in refusal(archive)


class Answers(nn.Module):
    """Answers in the right shapes, always with one score."""

    def __init__(self, card: Card, score: float) -> None:
        super().__init__()
        self.score = score
        self.shape = [card.timesteps, 1, len(card.labels)]
        self.layers = [card.timesteps, 1, len(card.spiking_layers)]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        counts = torch.zeros(self.layers, dtype=torch.int64)
        return torch.full(self.shape, self.score), counts, counts

    @torch.jit.export
    def encode_image(self, images: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        return images.float().unsqueeze(0)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (float("nan"), "not a finite number"),
        (float("inf"), "not a finite number"),
        (0.5, "not votes"),
        (-1.0, "not votes"),
        (3.0, "not votes"),
    ],
)
def test_scores_that_are_no_votes_are_a_model_error(tiny_store_root: Path, score: float, message: str) -> None:
    card = read_card(tiny_store_root / "tiny-image" / "1" / "model.pt")
    assert card.voters == 2
    broken = TorchScriptEngine(card, torch.jit.script(Answers(card, score).eval()), CPU, memory_bytes=0)
    with pytest.raises(ModelError, match=message):
        broken.run(samples_for("tiny-image", 1))
