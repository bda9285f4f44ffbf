import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.decision import DECISION_RULES, DecisionRule, decide, draw_seed
from contract.errors import AnswerTooLarge, InvalidParameter, Overloaded, TooManyInputs
from contract.settings import Settings
from service.inference.answer_size import prediction_bytes
from service.inference.bodies import PixelsInput, Prediction
from service.inference.inputs import Body
from service.inference.options import PredictOptions
from service.inference.predictor import Predictor
from service.models.single import SingleVersion
from service.models.version import Loaded
from tests.service.models_in_memory import load_version

PLANES = np.random.default_rng(4).integers(0, 256, (3, 8, 8)).tolist()


@pytest.fixture(scope="module")
def loaded(tiny_store_root: Path) -> Loaded:
    return load_version(tiny_store_root, "tiny-image")


@pytest.fixture
async def predictor(loaded: Loaded) -> AsyncIterator[Predictor]:
    async with Predictor(SingleVersion(loaded), Settings(max_draws=16)) as running:
        yield running


async def predict(predictor: Predictor, seeds: list[int | None], **options: Any) -> list[Prediction]:
    inputs = [PixelsInput(pixels=plane, seed=seed) for plane, seed in zip(PLANES, seeds, strict=False)]
    return (await predictor.predict("tiny-image", inputs, PredictOptions(**options)))["predictions"]


def total(predictions: list[Prediction], *path: str) -> Any:
    found: list[Any] = predictions
    for name in path:
        found = [each[name] for each in found]
    return sum(found)


@pytest.mark.parametrize("rule", DECISION_RULES)
async def test_draws_are_answers_with_derived_seeds_and_their_price_is_the_sum(
    predictor: Predictor, loaded: Loaded, rule: DecisionRule
) -> None:
    card = loaded.engine.card
    joint = await predict(predictor, [None, 11], seed=3, draws=6, decision=rule, top_k=10, detail="layers")
    for place, seed in enumerate((3, 11)):
        own = [draw_seed(seed, draw) for draw in range(6)]
        every = [(await predict(predictor, [one] * 3, top_k=10, detail="layers"))[place] for one in own]
        said = joint[place]["joint"]
        assert (said["decision"], said["draws"]) == (rule, 6)
        assert [(each["class_id"], each["label"], each["score"]) for each in said["decisions"]] == [
            (each["class_id"], each["label"], each["score"]) for each in every
        ]
        most = card.timesteps * card.voters
        scores = np.array([[c["score"] for c in sorted(each["top_k"], key=_class)] for each in every])
        expected = decide(np.rint(scores * most).astype(np.int64)[:, None], [most] * 6, rule)
        assert [each["class_id"] for each in joint[place]["top_k"]] == expected.ranking[0].tolist()
        assert {each["class_id"]: each["score"] for each in joint[place]["top_k"]} == pytest.approx(
            dict(enumerate(expected.scores[0].tolist()))
        )
        assert joint[place]["class_id"] == joint[place]["top_k"][0]["class_id"]
        assert said["agreement"] == expected.agreement[0]
        for path in (("spikes", "total"), ("spikes", "input"), ("energy", "accumulates")):
            assert total([joint[place]], *path) == total(every, *path)
        assert joint[place]["energy"]["estimate_nj"] == pytest.approx(total(every, "energy", "estimate_nj"))
        assert joint[place]["energy"]["ann_equivalent_nj"] == every[0]["energy"]["ann_equivalent_nj"]
        rates = [[layer["firing_rate"] for layer in each["spikes"]["layers"]] for each in every]
        assert [layer["firing_rate"] for layer in joint[place]["spikes"]["layers"]] == pytest.approx(
            np.mean(rates, axis=0).tolist()
        )


def _class(score: Any) -> int:
    return int(score["class_id"])


async def test_one_draw_is_the_ordinary_answer(predictor: Predictor) -> None:
    assert await predict(predictor, [None], seed=3, draws=1) == await predict(predictor, [None], seed=3)


async def test_the_steps_of_draws_are_added_up(predictor: Predictor) -> None:
    [joint] = await predict(predictor, [7], draws=4, detail="timesteps")
    every = [(await predict(predictor, [draw_seed(7, d)], detail="timesteps"))[0] for d in range(4)]
    assert joint["spikes"]["timesteps"] == np.sum([each["spikes"]["timesteps"] for each in every], axis=0).tolist()
    for step, shown in enumerate(joint["timesteps"]):
        mean = np.mean([each["timesteps"][step]["scores"] for each in every], axis=0)
        assert shown["scores"] == pytest.approx(mean.tolist())


async def test_draws_are_rows_of_one_batch(loaded: Loaded) -> None:
    async with Predictor(SingleVersion(loaded), Settings()) as predictor:
        answer = await predictor.predict("tiny-image", [PixelsInput(pixels=PLANES[0])] * 2, PredictOptions(draws=8))
    assert answer["timing"]["batch_size"] == 16


async def test_a_row_is_charged_for_each_draw_before_it_runs(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any) -> Any:
        raise AssertionError("it ran")

    pixels: list[Any] = [PixelsInput(pixels=PLANES[0])]
    settings = Settings(max_inputs=16, max_draws=8, max_queue_bytes=1000)
    async with Predictor(SingleVersion(loaded), settings) as predictor:
        await predictor.predict("tiny-image", pixels * 2, PredictOptions(draws=8))
        monkeypatch.setattr(loaded.engine, "run", run)
        body = b'{"inputs": [{"pixels": [[0]]}, {"pixels": [[0]]}, {"pixels": [[0]]}]}'
        with pytest.raises(TooManyInputs, match="at most 2 inputs"):
            await predictor.predict("tiny-image", Body("application/json", body), PredictOptions(draws=8))
        with pytest.raises(InvalidParameter, match="draws is 9; at most 8") as refused:
            await predictor.predict("tiny-image", pixels, PredictOptions(draws=9))
        assert refused.value.param == "draws"
        with predictor.admission.request() as other, predictor.admission.request() as ticket:
            other.hold(500)
            with pytest.raises(Overloaded, match="all the memory"):  # 8 rows of 64 bytes do not fit beside 500
                await predictor.predict("tiny-image", pixels, PredictOptions(draws=8), ticket=ticket)


async def test_the_size_of_an_answer_counts_its_draws(loaded: Loaded) -> None:
    single = prediction_bytes(loaded.engine.card, "summary", 5)
    async with Predictor(SingleVersion(loaded), Settings(max_answer_bytes=single)) as predictor:
        await predictor.predict("tiny-image", [PixelsInput(pixels=PLANES[0])])
        with pytest.raises(AnswerTooLarge, match="lower top_k or draws"):
            await predictor.predict("tiny-image", [PixelsInput(pixels=PLANES[0])], PredictOptions(draws=2))


@pytest.mark.parametrize(("name", "why"), [("tiny-direct", "direct coding"), ("tiny-events", "time bins of events")])
async def test_a_model_without_random_coding_has_no_draws(tiny_store_root: Path, name: str, why: str) -> None:
    async with Predictor(SingleVersion(load_version(tiny_store_root, name)), Settings()) as predictor:
        with pytest.raises(InvalidParameter, match=f"model '{name}' has {why}, which is not random") as refused:
            await predictor.predict(name, [b""], PredictOptions(draws=2))
        assert refused.value.param == "draws"


async def test_a_rule_without_several_decisions_is_refused(predictor: Predictor) -> None:
    with pytest.raises(InvalidParameter, match="set draws to 2 or more") as refused:
        await predict(predictor, [None], decision="vote")
    assert refused.value.param == "decision"


async def test_draws_do_not_end_early(predictor: Predictor) -> None:
    with pytest.raises(InvalidParameter, match="one that ends early may still change") as refused:
        await predict(predictor, [None], draws=2, exit="lossless")
    assert refused.value.param == "exit"


async def test_draws_of_many_requests_share_batches(predictor: Predictor) -> None:
    alone = await predict(predictor, [5], draws=4)
    together = await asyncio.gather(*(predict(predictor, [5], draws=4) for _ in range(5)))
    assert all(each == alone for each in together)
