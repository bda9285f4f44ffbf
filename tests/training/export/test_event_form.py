"""Evaluation by the event engine gives the results of TorchScript."""

from pathlib import Path

import numpy as np
import pytest
import torch

from contract.card import CARD_FILE, ImageEncoder
from contract.store import Store
from event_engine.network import Counts, EventNetwork
from tests.event_engine.differential import make_case
from tests.service.engine.engines import not_built
from tests.tiny import tiny_events_dataset
from training.data import Bins, Recordings, Samples, load_dataset
from training.export.checkpoint import load_scripted
from training.export.evaluate import evaluate
from training.export.event_form import EventForm, load_fastest

pytestmark = not_built


def with_an_empty_one(recordings: Recordings) -> Recordings:
    """The first recordings, of which the second has lost its events to noise."""
    part = recordings.subset(torch.arange(9))
    events = part.unpack()
    kept = torch.repeat_interleave(torch.arange(9), part.lengths) != 1
    lengths = part.lengths.clone()
    lengths[1] = 0
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    return Recordings.of(events[kept], offsets, part.labels)


def held_out(name: str) -> Samples:
    if name == "tiny-events":
        recordings = tiny_events_dataset().test
        assert isinstance(recordings, Recordings)
        return with_an_empty_one(recordings)
    return load_dataset("digits").test.subset(torch.arange(40))


@pytest.mark.parametrize("draw", [0, 3])
@pytest.mark.parametrize("name", ["tiny-image", "tiny-direct", "tiny-events"])
def test_results_are_the_same(tiny_store_root: Path, name: str, draw: int) -> None:
    path, samples = Store(tiny_store_root).checkpoint_path(name, 1), held_out(name)
    form = load_fastest(path)
    assert isinstance(form, EventForm)
    found, expected = (evaluate(each, samples, draw=draw, batch_size=7) for each in (form, load_scripted(path)))
    assert found.accuracy == expected.accuracy
    for field in ("votes", "predictions", "spikes_by_step", "synops_by_step"):
        one, other = getattr(found, field), getattr(expected, field)
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_time_bins_are_run_as_they_are(tiny_store_root: Path) -> None:
    path = Store(tiny_store_root).checkpoint_path("tiny-events", 1)
    form, module = load_fastest(path), load_scripted(path)
    values = np.random.default_rng(0).integers(0, 2, (3, 5 * 2 * 8 * 8), np.uint8)
    samples = Bins(np.packbits(values, axis=1), (5, 2, 8, 8), True, torch.arange(3) % 2)
    found, expected = evaluate(form, samples), evaluate(module, samples)
    assert torch.equal(found.votes, expected.votes)
    assert torch.equal(found.synops_by_step, expected.synops_by_step)


def test_a_network_that_the_event_engine_cannot_run_is_left_to_torchscript(tmp_path: Path) -> None:
    network = make_case("4C3-AP2-VOTE2", ImageEncoder(coding="poisson", timesteps=2), shape=(1, 4, 4))
    torch.jit.save(network.module, str(tmp_path / "model.pt"), _extra_files={CARD_FILE: network.card.model_dump_json()})
    assert isinstance(load_fastest(tmp_path / "model.pt"), torch.jit.ScriptModule)


def test_an_engine_that_gives_a_wrong_number_is_not_used(
    tiny_store_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = EventNetwork.run_images

    def wrong(*arguments: object, **options: object) -> Counts:
        counts = run(*arguments, **options)  # type: ignore[arg-type]
        counts.synops[-1, -1, -1] += 1
        return counts

    monkeypatch.setattr(EventNetwork, "run_images", wrong)
    form = load_fastest(Store(tiny_store_root).checkpoint_path("tiny-image", 1))
    assert isinstance(form, torch.jit.ScriptModule)
    assert "the event engine is wrong" in caplog.text
