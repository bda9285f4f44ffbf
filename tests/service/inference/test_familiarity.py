"""Inputs that are unlike the training data are told, and scores become probabilities, on real versions."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.reference import REFERENCE_FILE, Reference, read_reference
from service.inference.bodies import PixelsInput
from service.inference.options import PredictOptions
from service.inference.predictor import Predictor
from training.__main__ import main
from training.data import Images, load_dataset
from training.export.reference import confidence_of, probabilities


@pytest.fixture(scope="module")
def root(tiny_store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one version that has a reference, measured by the command, and one that has none."""
    store = tmp_path_factory.mktemp("references")
    for name in ("tiny-image", "tiny-direct"):
        shutil.copytree(tiny_store_root / name / "1", store / name / "1")
        (store / name / "1" / REFERENCE_FILE).unlink(missing_ok=True)
    assert main(["reference", "tiny-image", "--store", str(store)]) == 0
    return store


@pytest.fixture
async def predictor(root: Path) -> AsyncIterator[Predictor]:
    async with Predictor.open(root) as found:
        yield found


async def ask(predictor: Predictor, pixels: NDArray[Any], model: str = "tiny-image", **options: Any) -> Any:
    answer = await predictor.predict(model, [PixelsInput(pixels=pixels.tolist())], PredictOptions(**options))
    return answer["predictions"][0]


def codes(prediction: Any) -> list[str]:
    return [warning["code"] for warning in prediction.get("warnings", [])]


def digits() -> NDArray[np.uint8]:
    found = load_dataset("digits").train
    assert isinstance(found, Images)
    return found.pixels.numpy()


async def test_only_what_is_unlike_the_training_data_gets_a_warning(predictor: Predictor) -> None:
    digit = digits()[0]
    like = await ask(predictor, digit)
    assert "warnings" not in like
    assert 0 < like["probability"] < 1
    assert codes(await ask(predictor, np.zeros((8, 8), np.uint8))) == ["blank_input"]
    inverted = await ask(predictor, 255 - digit)
    assert codes(inverted) == ["inverted_input"]
    assert "invert=auto" in inverted["warnings"][0]["message"]
    assert codes(await ask(predictor, np.maximum(digit, 60))) == ["background"]
    few = np.zeros((8, 8), np.uint8)
    few[0, 0] = 255
    assert "unusual_input" in codes(await ask(predictor, few))


async def test_a_version_without_a_reference_answers_as_before(predictor: Predictor) -> None:
    plain = await ask(predictor, 255 - digits()[0], "tiny-direct")
    assert not {"warnings", "probability"} & plain.keys()


async def test_an_inference_that_ends_early_is_not_compared_with_whole_ones(predictor: Predictor) -> None:
    early = await ask(predictor, 255 - digits()[0], exit="lossless")
    assert not {"warnings", "probability"} & early.keys()


def test_the_reference_is_measured_on_the_samples_that_chose_the_epoch(root: Path) -> None:
    found = read_reference(root / "tiny-image" / "1" / "model.pt")
    assert found is not None
    assert found.measured_on == "validation"
    assert found.bright is not None
    assert 0 < found.bright.low < found.bright.median < found.bright.high < 0.6
    assert found.input.low > 0
    assert read_reference(root / "tiny-direct" / "1" / "model.pt") is None


def test_training_writes_the_reference(tiny_store_root: Path) -> None:
    found = read_reference(tiny_store_root / "tiny-events" / "1" / "model.pt")
    assert isinstance(found, Reference)
    assert found.bright is None, "recordings have no pixels"
    assert found.first_layer.high > 0


def test_a_temperature_makes_probabilities_of_scores() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 4000)
    scores = rng.normal(0, 0.1, (4000, 4))
    scores[np.arange(4000), truth] += 0.15
    found = confidence_of(scores, truth)
    sure = probabilities(scores, found.temperature)
    assert 0.05 < found.temperature < 0.09  # the best is the variance over the shift, 0.01 / 0.15
    assert found.calibration_error < 0.03 < found.uncalibrated_error
    assert sure.sum(axis=1) == pytest.approx(np.ones(4000))
