"""Samples that end as soon as their decision leads by enough votes: the same in both engines, alone and in a batch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from contract.early_exit import lead_of, lossless_leads
from service.engine.device import CPU
from service.engine.interface import Activity, EventSample, ImageSample, Sample
from service.engine.load import Preference
from service.engine.torchserve import TorchServe
from tests.service.engine.engines import ENGINES, load, not_built
from tests.tiny import moving_bar

MODELS = ["tiny-image", "tiny-direct", "tiny-events"]


def samples_for(name: str, count: int) -> list[Sample]:
    rng = np.random.default_rng(7)
    if name == "tiny-events":
        return [EventSample(moving_bar(rng, right=bool(seed % 2))) for seed in range(count)]
    return [ImageSample(rng.integers(0, 256, (1, 8, 8), np.uint8) // (1 + seed % 3), seed) for seed in range(count)]


def expected_steps(whole: Activity, leads: Sequence[int]) -> int:
    leads_after = lead_of(whole.scores.cumsum(0))
    return int(np.argmax(leads_after >= leads)) + 1


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ENGINES)
def test_a_sample_ends_at_its_lead_with_the_activity_of_its_steps_alone(
    tiny_store_root: Path, name: str, kind: Preference
) -> None:
    engine = load(tiny_store_root, name, kind)
    samples, steps = samples_for(name, 40), engine.card.timesteps
    whole, seen = engine.run(samples), set()
    for leads in (list(lossless_leads(steps, engine.card.voters)), [1] * (steps - 1) + [0], [0] * steps):
        for full, found in zip(whole, engine.run(samples, leads), strict=True):
            used = len(found.scores)
            assert used == expected_steps(full, leads)
            seen.add(used)
            for part in ("scores", "spikes", "synops"):
                np.testing.assert_array_equal(getattr(found, part), getattr(full, part)[:used])
            assert found.totals.spikes == full.spikes[:used].sum(0).tolist()
            assert found.totals.synops == full.synops[:used].sum(0).tolist()
            assert found.totals.votes == full.scores[:used].sum(0).tolist()
            if leads[0] > 1:
                assert found.totals.ranking[0] == full.totals.ranking[0]
        [alone] = engine.run(samples[:1], leads)
        np.testing.assert_array_equal(alone.scores, engine.run(samples, leads)[0].scores)
    assert len(seen) > 2


@not_built
@pytest.mark.parametrize("name", MODELS)
def test_both_engines_end_alike_and_count_the_input_of_the_steps_used(tiny_store_root: Path, name: str) -> None:
    event, script = (load(tiny_store_root, name, kind) for kind in ("event", "torchscript"))
    samples, steps = samples_for(name, 30), event.card.timesteps
    whole = [each.input for each in event.run(samples)]
    for leads in (lossless_leads(steps, event.card.voters), [1] * steps, [0] * steps):
        found, expected = event.run(samples, leads), script.run(samples, leads)
        assert [each.input for each in found] == [each.input for each in expected]
        for one, other in zip(found, expected, strict=True):
            for part in ("scores", "spikes", "synops"):
                np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    assert all(0 < each.input < full for each, full in zip(event.run(samples, [0] * steps), whole, strict=True))


def test_torchserve_refuses_to_end_early(tiny_store_root: Path) -> None:
    server = TorchServe("http://127.0.0.1:9", token_file=None, timeout_seconds=1)
    engine = server.load(tiny_store_root / "tiny-image" / "1" / "model.pt", CPU)
    with pytest.raises(Exception, match="SNN_BACKEND=local"):
        engine.run(samples_for("tiny-image", 1), [0] * 4)
    server.close()
