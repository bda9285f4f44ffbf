"""The size of answers, known before and bounded."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic_core import to_json

from contract.energy import ESTIMATORS
from contract.errors import AnswerTooLarge, ModelError, Overloaded
from contract.settings import Settings
from service.engine.interface import ImageSample
from service.inference import answer_size
from service.inference.answer_size import AnswerBytes, prediction_bytes
from service.inference.bodies import Detail, PixelsInput
from service.inference.decode import Decoded, RawInput
from service.inference.joint import JointOptions
from service.inference.options import PredictOptions
from service.inference.prediction import build_prediction
from service.inference.predictor import Predictor
from service.models.single import SingleVersion
from service.models.version import Loaded
from tests.service.models_in_memory import load_version, options_for
from tests.service.troubled import NAME, NOT_A_NUMBER, add_troubled

DETAILS: tuple[Detail, ...] = get_args(Detail)


@pytest.fixture(scope="module")
def loaded(tiny_store_root: Path) -> Loaded:
    return load_version(tiny_store_root, "tiny-image")


def pixels(count: int = 1, seed: int = 0) -> Sequence[RawInput | bytes]:
    return [PixelsInput(pixels=np.eye(8, dtype=int).tolist(), seed=seed)] * count


def without_chance(answer: Any) -> Any:
    return {key: value for key, value in answer.items() if key not in ("id", "timing")}


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("label", ["x", '"\\' * 50, "\N{GRINNING FACE}" * 100])
def test_a_prediction_is_at_most_as_large_as_was_said_before(loaded: Loaded, detail: Detail, label: str) -> None:
    card = loaded.engine.card.model_copy(update={"labels": tuple(f"{label}{number}" for number in range(10))})
    activity = loaded.engine.run([ImageSample(np.full((1, 8, 8), 99, np.uint8))])[0]
    if detail == "raster":  # every neuron fires at every step
        activity = replace(activity, fired=np.ones((card.timesteps, card.neurons), np.bool_))
    for top_k in (1, 10):
        options = options_for(card, detail=detail, top_k=top_k)
        decoded = Decoded(ImageSample(np.full((1, 8, 8), 255, np.uint8)), {"resized_from": (1000, 1000)})
        size = len(to_json(build_prediction(100, decoded, [activity], 1 / 3, options)))
        assert size <= prediction_bytes(card, detail, top_k) <= 5 * size
        if detail == "raster":  # of single decisions alone
            continue
        joint = replace(options, joint=JointOptions(32, "confidence"))
        size = len(to_json(build_prediction(100, decoded, [activity] * 32, 1 / 3, joint)))
        assert size <= prediction_bytes(card, detail, top_k, decisions=32) <= 5 * size


@pytest.mark.parametrize("name", ["tiny-image", "tiny-direct"])
def test_estimates_of_energy_are_part_of_the_size(tiny_store_root: Path, name: str) -> None:
    engine = load_version(tiny_store_root, name).engine
    activity = engine.run([ImageSample(np.full((1, 8, 8), 99, np.uint8))])[0]
    decoded = Decoded(ImageSample(np.zeros((1, 8, 8), np.uint8)), None)
    options = options_for(engine.card, top_k=1, estimators=ESTIMATORS)
    size = len(to_json(build_prediction(0, decoded, [activity], None, options)))
    assert size <= prediction_bytes(engine.card, "summary", 1, estimators=len(ESTIMATORS)) <= 3 * size
    limit = prediction_bytes(engine.card, "summary", 1)
    with pytest.raises(AnswerTooLarge, match="leave out energy") as refused:
        AnswerBytes(limit, 0).check(1, engine.card, "summary", 1, estimators=1)
    assert refused.value.param == "energy"


@pytest.mark.parametrize(
    ("count", "detail", "top_k", "param", "said"),
    [
        (1000, "summary", 10, "top_k", "lower top_k, or send fewer inputs"),
        (1, "timesteps", 1, "detail", "leave out detail=timesteps"),
        (1, "summary", 10, "top_k", "lower top_k"),
    ],
)
def test_an_answer_beyond_the_limit_is_refused_with_what_to_lower(
    loaded: Loaded, count: int, detail: Detail, top_k: int, param: str, said: str
) -> None:
    card = loaded.engine.card
    if detail == "timesteps":
        card = card.model_copy(update={"labels": tuple(map(str, range(1000)))})
    size = count * prediction_bytes(card, detail, top_k)
    AnswerBytes(size, 0).check(count, card, detail, top_k)
    with pytest.raises(AnswerTooLarge) as refused:
        AnswerBytes(size - 1, 0).check(count, card, detail, top_k)
    assert refused.value.param == param
    assert refused.value.message.endswith(said)
    assert f"up to {size} bytes; the limit is {size - 1}" in refused.value.message


async def test_it_is_refused_before_the_body_is_read_or_at_least_before_the_network_runs(loaded: Loaded) -> None:
    one = prediction_bytes(loaded.engine.card, "summary", 5)
    bodies = []

    async def read() -> Sequence[RawInput | bytes]:
        bodies.append(1)
        return pixels(3)

    async with Predictor(SingleVersion(loaded), Settings(max_answer_bytes=one)) as predictor:
        with pytest.raises(AnswerTooLarge, match="the answer to 1 input would"):
            await predictor.predict("tiny-image", read, PredictOptions(detail="timesteps", top_k=10))
        assert bodies == []
        with pytest.raises(AnswerTooLarge, match="the answer to 3 inputs would"):
            await predictor.predict("tiny-image", read)
        assert predictor.batcher.last_run == float("-inf")
        assert len((await predictor.predict("tiny-image", pixels(1)))["predictions"]) == 1


@pytest.mark.parametrize("large", [0, 10**9])
async def test_the_json_of_large_and_small_answers_is_that_of_the_answer(
    loaded: Loaded, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_size, "LARGE", large)
    async with Predictor(SingleVersion(loaded), Settings()) as predictor:
        answer = await predictor.predict("tiny-image", pixels(3), PredictOptions(detail="timesteps"))
        body, held = await predictor.predict_json("tiny-image", pixels(3), PredictOptions(detail="timesteps"))
        assert without_chance(json.loads(body)) == without_chance(json.loads(to_json(answer)))
        assert list(json.loads(body)) == list(answer)
        assert (held > 0) == (large == 0)
        assert predictor.answer_bytes.held == held


async def test_large_answers_share_their_room_and_failures_give_theirs_back(
    store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_size, "LARGE", 0)
    add_troubled(store_root)
    loaded = load_version(store_root, NAME)
    one = prediction_bytes(loaded.engine.card, "summary", 5)
    settings = Settings(max_answer_bytes=one, max_queue_bytes=4 * 2 * one)
    async with Predictor(SingleVersion(loaded), settings) as predictor:
        with pytest.raises(ModelError):
            await predictor.predict_json(NAME, pixels(seed=NOT_A_NUMBER))
        assert predictor.answer_bytes.held == 0
        held = [(await predictor.predict_json(NAME, pixels()))[1] for _ in range(2)]
        with pytest.raises(Overloaded, match="other large answers"):
            await predictor.predict_json(NAME, pixels())
        predictor.answer_bytes.give(held[0])
        await predictor.predict(NAME, pixels())
        assert predictor.answer_bytes.held == one
        leaving = asyncio.create_task(predictor.predict_json(NAME, pixels()))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert predictor.answer_bytes.held == one
