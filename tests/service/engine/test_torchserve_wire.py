from pathlib import Path

import numpy as np
import pytest

from contract.card import Card, read_card
from contract.errors import BadRequest, InvalidEvents
from service.engine.device import CPU
from service.engine.interface import EventSample, ImageSample, Sample
from service.engine.torchscript import TorchScriptEngine
from service.engine.torchserve_wire import card_digest, pack_activities, pack_samples, unpack_activities, unpack_samples
from tests.tiny import moving_bar


@pytest.fixture
def cpu_checkpoint(tiny_store_root: Path) -> TorchScriptEngine:
    return TorchScriptEngine.load(tiny_store_root / "tiny-image" / "1" / "model.pt", CPU)


def card_of(root: Path, model: str, version: int = 1) -> Card:
    return read_card(root / model / str(version) / "model.pt")


def images(count: int) -> list[Sample]:
    rng = np.random.default_rng(count)
    return [
        ImageSample(rng.integers(0, 256, (1, 8, 8), dtype=np.uint8), int(rng.integers(0, 2**63 - 1)))
        for _ in range(count)
    ]


def recordings(count: int) -> list[Sample]:
    rng = np.random.default_rng(count)
    late = np.array([[2**62 - 1, 7, 7, 1]], dtype=np.int64)
    return [*(EventSample(moving_bar(rng, right=True)) for _ in range(count - 1)), EventSample(late)]


@pytest.mark.parametrize("count", [1, 2, 33])
@pytest.mark.parametrize(("model", "make"), [("tiny-image", images), ("tiny-events", recordings)])
def test_samples_arrive_as_they_were_sent(model: str, make: type, count: int, tiny_store_root: Path) -> None:
    sent = make(count)
    arrived = unpack_samples(pack_samples(sent), card_of(tiny_store_root, model))
    assert len(arrived) == count
    for before, after in zip(sent, arrived, strict=True):
        if isinstance(before, ImageSample):
            assert isinstance(after, ImageSample)
            assert (after.seed, after.pixels.tolist()) == (before.seed, before.pixels.tolist())
        else:
            assert isinstance(after, EventSample)
            assert after.events.dtype == np.int64
            assert after.events.tolist() == before.events.tolist()


def test_activities_arrive_as_they_were_sent(tiny_store_root: Path, cpu_checkpoint: TorchScriptEngine) -> None:
    sent = cpu_checkpoint.run(images(5))
    arrived = unpack_activities(pack_activities(sent), cpu_checkpoint.card, 5)
    for before, after in zip(sent, arrived, strict=True):
        assert after.input == before.input
        for name in ("scores", "spikes", "synops"):
            assert np.array_equal(getattr(after, name), getattr(before, name))


def test_results_of_another_shape_are_refused(tiny_store_root: Path, cpu_checkpoint: TorchScriptEngine) -> None:
    packed = pack_activities(cpu_checkpoint.run(images(2)))
    for card, rows in [(cpu_checkpoint.card, 3), (card_of(tiny_store_root, "tiny-events"), 2)]:
        with pytest.raises(BadRequest, match="shapes"):
            unpack_activities(packed, card, rows)


@pytest.mark.parametrize(("model", "make"), [("tiny-image", images), ("tiny-events", recordings)])
def test_every_truncation_of_a_batch_is_refused(model: str, make: type, tiny_store_root: Path) -> None:
    packed, card = pack_samples(make(2)), card_of(tiny_store_root, model)
    for length in range(len(packed)):
        with pytest.raises(BadRequest):
            unpack_samples(packed[:length], card)
    with pytest.raises(BadRequest):
        unpack_samples(packed + b"\0", card)


def test_samples_that_the_model_cannot_take_are_refused(tiny_store_root: Path) -> None:
    image_card, event_card = card_of(tiny_store_root, "tiny-image"), card_of(tiny_store_root, "tiny-events")
    with pytest.raises(BadRequest):
        unpack_samples(pack_samples(images(1)), event_card)
    with pytest.raises(BadRequest):
        unpack_samples(pack_samples(recordings(1)), image_card)
    with pytest.raises(BadRequest, match="shape"):
        unpack_samples(pack_samples([ImageSample(np.zeros((1, 8, 9), np.uint8))]), image_card)
    with pytest.raises(BadRequest, match="shape"):
        unpack_samples(pack_samples([ImageSample(np.zeros((1, 8, 8), np.uint8), -1)]), image_card)
    with pytest.raises(BadRequest, match="no events"):
        unpack_samples(pack_samples([*recordings(1), EventSample(np.zeros((0, 4), np.int64))]), event_card)
    for broken in ([0, 8, 0, 1], [0, -1, 0, 1], [-1, 0, 0, 1], [0, 0, 0, 2]):
        with pytest.raises(InvalidEvents):
            unpack_samples(pack_samples([EventSample(np.array([broken], np.int64))]), event_card)


def test_pickled_arrays_are_refused(tiny_store_root: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadRequest):
        unpack_samples((tmp_path / "evil.npy").read_bytes(), card_of(tiny_store_root, "tiny-image"))


def test_the_digest_tells_checkpoints_apart(tiny_store_root: Path) -> None:
    digests = {card_digest(card_of(tiny_store_root, *which)) for which in [("tiny-image", 1), ("tiny-image", 2)]}
    assert len(digests) == 2
    assert card_digest(card_of(tiny_store_root, "tiny-image", 1)) in digests
