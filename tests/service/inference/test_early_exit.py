"""`exit` at `predict`: the answer of the whole run with fewer time steps, or a refusal that says what is missing."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from contract.calibration import Calibration, ConformalRule, GapRule
from contract.early_exit import lossless_leads
from contract.errors import InvalidParameter
from contract.settings import Settings
from service.engine.interface import Choice
from service.inference.bodies import Exit, PixelsInput, Prediction
from service.inference.early_exit import leads_for
from service.inference.options import PredictOptions
from service.inference.predictor import Predictor
from service.models.single import SingleVersion
from service.models.version import Loaded
from tests.service.models_in_memory import load_version


def calibration(gap: tuple[int, ...], conformal: tuple[int, ...]) -> Calibration:
    rules = {"gap": GapRule(eps=0.01, leads=gap), "conformal": ConformalRule(alpha=0.1, leads=conformal)}
    return Calibration(measured_on="validation", samples=100, rule="gap", **rules)


@pytest.fixture
def calibrated(tiny_store_root: Path) -> Loaded:
    """A version whose card lets a sample go at the second step, whatever its lead."""
    loaded = load_version(tiny_store_root, "tiny-image")
    made = calibration((99, 0, 99, 99), (99, 99, 0, 0))
    loaded.engine.card = loaded.engine.card.model_copy(update={"calibration": made})  # type: ignore[misc]
    return loaded


async def answers(loaded: Loaded, exit: Exit, detail: str = "summary") -> list[Prediction]:
    images = np.rint(load_digits().images[:100] * 255 / 16).astype(int)
    inputs = [PixelsInput(pixels=image.tolist()) for image in images]
    async with Predictor(SingleVersion(loaded), Settings()) as predictor:
        options = PredictOptions.model_validate({"exit": exit, "detail": detail})
        return (await predictor.predict("tiny-image", inputs, options))["predictions"]


async def test_a_lossless_exit_gives_the_labels_of_the_whole_run_for_fewer_steps(tiny_store_root: Path) -> None:
    loaded = load_version(tiny_store_root, "tiny-image")
    whole, found = [await answers(loaded, exit, "timesteps") for exit in ("none", "lossless")]
    card, used = loaded.engine.card, [each["steps_used"] for each in found]
    assert set(used) == {3, 4}
    assert all("steps_used" not in each for each in whole)
    for full, ended, steps in zip(whole, found, used, strict=True):
        assert ended["label"] == full["label"]
        assert ended["timesteps"] == full["timesteps"][:steps]
        scores = [each["scores"][ended["class_id"]] for each in ended["timesteps"]]
        assert ended["score"] == pytest.approx(np.mean(scores))
        assert ended["spikes"]["timesteps"] == full["spikes"]["timesteps"][:steps]
        assert ended["spikes"]["total"] == sum(ended["spikes"]["timesteps"])
        assert ended["spikes"]["per_neuron_per_step"] == ended["spikes"]["total"] / (card.neurons * steps)
        if steps == card.timesteps:
            assert {name: value for name, value in ended.items() if name != "steps_used"} == full
        else:
            assert ended["spikes"]["input"] < full["spikes"]["input"]
            assert ended["energy"]["estimate_nj"] < full["energy"]["estimate_nj"]


async def test_a_confident_exit_follows_the_rule_of_the_card(calibrated: Loaded) -> None:
    assert {each["steps_used"] for each in await answers(calibrated, "confident")} == {2}
    assert calibrated.engine.card.calibration is not None
    other = calibrated.engine.card.calibration.model_copy(update={"rule": "conformal"})
    calibrated.engine.card = calibrated.engine.card.model_copy(update={"calibration": other})  # type: ignore[misc]
    assert {each["steps_used"] for each in await answers(calibrated, "confident")} == {3}


def test_a_confident_exit_is_never_later_than_a_lossless_one(calibrated: Loaded) -> None:
    lossless = lossless_leads(4, calibrated.engine.card.voters)
    assert leads_for("confident", "m", calibrated.engine) == (lossless[0], 0, lossless[2], 0)
    assert leads_for("none", "m", calibrated.engine) is None


async def test_a_refusal_says_what_is_missing_before_the_inputs_are_read(tiny_store_root: Path) -> None:
    loaded = load_version(tiny_store_root, "tiny-image")
    with pytest.raises(InvalidParameter, match="python -m training calibrate tiny-image") as refused:
        await answers(loaded, "confident")
    assert refused.value.param == "exit"
    loaded.engine.choice = Choice("torchserve")  # type: ignore[misc]
    with pytest.raises(InvalidParameter, match="SNN_BACKEND=local"):
        await answers(loaded, "lossless")
