from pathlib import Path

import numpy as np
import pytest

from contract.card import Card
from contract.energy import ESTIMATORS, PROFILES, estimates, work_of
from contract.errors import InvalidParameter
from contract.settings import Settings
from service.engine.interface import Activity, Engine, ImageSample, activities_of, blank_sample
from service.inference.bodies import Detail, Prediction
from service.inference.decode import Decoded
from service.inference.options import PredictOptions, resolve
from service.inference.prediction import build_prediction
from tests.service.models_in_memory import load_version, options_for


@pytest.fixture(scope="session")
def engine(tiny_store_root: Path) -> Engine:
    return load_version(tiny_store_root, "tiny-image").engine


def predict(activity: Activity, card: Card, detail: Detail = "summary", top_k: int = 3) -> Prediction:
    options = options_for(card, detail=detail, top_k=top_k)
    return build_prediction(0, Decoded(blank_sample(card), None), [activity], None, options)


@pytest.fixture
def activity(engine: Engine) -> Activity:
    pixels = np.random.default_rng(1).integers(0, 256, (1, 8, 8), dtype=np.uint8)
    return engine.run([ImageSample(pixels, seed=3)])[0]


def votes(activity: Activity, scores: list[list[int]]) -> Activity:
    made = np.zeros_like(activity.scores)
    made[: len(scores), : len(scores[0])] = scores
    spikes, synops = activity.spikes[np.newaxis], activity.synops[np.newaxis]
    return activities_of(made[np.newaxis], spikes, synops, [activity.input])[0]


def test_a_score_is_votes_over_time_steps_times_voters(engine: Engine, activity: Activity) -> None:
    card = engine.card
    assert (card.timesteps, card.voters) == (4, 2)
    answer = predict(votes(activity, [[0, 1, 2], [0, 1, 2], [0, 0, 2], [0, 1, 1]]), card)
    assert [(each["class_id"], each["score"]) for each in answer["top_k"]] == [(2, 7 / 8), (1, 3 / 8), (0, 0.0)]
    assert (answer["class_id"], answer["label"], answer["score"]) == (2, "2", 7 / 8)


def test_of_equal_scores_the_lower_class_comes_first(engine: Engine, activity: Activity) -> None:
    answer = predict(votes(activity, [[0, 1, 0, 2, 2]]), engine.card, top_k=10)
    assert [each["class_id"] for each in answer["top_k"]] == [3, 4, 1, 0, 2, 5, 6, 7, 8, 9]


def test_spikes_are_the_networks_own_and_add_up(engine: Engine, activity: Activity) -> None:
    card = engine.card
    layers = predict(activity, card, "layers")["spikes"]
    steps = predict(activity, card, "timesteps")["spikes"]
    assert activity.spikes.sum() > 0
    counted = layers["layers"]
    assert layers["total"] == sum(each["spikes"] for each in counted) == activity.spikes.sum()
    assert layers["total"] == sum(steps["timesteps"])
    assert layers["input"] == activity.input
    assert layers["per_neuron_per_step"] == layers["total"] / (card.neurons * card.timesteps)
    for layer, each, column in zip(card.spiking_layers, counted, activity.spikes.T, strict=True):
        assert (each["name"], each["spikes"]) == (layer.name, column.sum())
        assert each["firing_rate"] == column.sum() / (layer.neurons * card.timesteps)


def test_operations_of_each_layer_are_summed_over_time(engine: Engine, activity: Activity) -> None:
    energy = predict(activity, engine.card)["energy"]
    assert [each["accumulates"] for each in energy["layers"]] == activity.synops.sum(axis=0).tolist()
    assert energy["estimate_nj"] == pytest.approx(activity.synops.sum() * 0.9 / 1000)
    assert (energy["profile"], energy["measured_mj"]) == ("cmos-45nm", None)


def test_a_time_step_tells_its_own_votes_alone(engine: Engine, activity: Activity) -> None:
    answer = predict(votes(activity, [[0, 2, 1], [1, 0, 1], [0, 0, 0], [0, 0, 2]]), engine.card, "timesteps")
    assert [(each["step"], each["class_id"], each["score"]) for each in answer["timesteps"]] == [
        (0, 1, 1.0),
        (1, 0, 0.5),
        (2, 0, 0.0),
        (3, 2, 1.0),
    ]
    assert answer["timesteps"][0]["scores"][:3] == [0.0, 1.0, 0.5]
    mean = np.mean([each["scores"] for each in answer["timesteps"]], axis=0)
    assert answer["score"] == mean.max() == mean[answer["class_id"]]


@pytest.mark.parametrize(
    ("detail", "top", "spikes"),
    [("summary", set(), set()), ("layers", set(), {"layers"}), ("timesteps", {"timesteps"}, {"timesteps"})],
)
def test_a_detail_adds_its_fields_and_no_others(
    engine: Engine, activity: Activity, detail: Detail, top: set[str], spikes: set[str]
) -> None:
    body = predict(activity, engine.card, detail)
    always = {"index", "class_id", "label", "score", "top_k", "preprocessing", "spikes", "energy"}
    assert set(body) == always | top
    assert set(body["spikes"]) == {"total", "input", "per_neuron_per_step"} | spikes
    assert "layers" in body["energy"]


def test_estimates_of_the_named_estimators_are_added(tiny_store_root: Path) -> None:
    engine = load_version(tiny_store_root, "tiny-direct").engine
    activity = engine.run([ImageSample(np.full((1, 8, 8), 99, np.uint8))])[0]
    decoded = Decoded(blank_sample(engine.card), None)
    plain = build_prediction(0, decoded, [activity], None, options_for(engine.card))["energy"]
    assert "estimates" not in plain
    options = options_for(engine.card, estimators=ESTIMATORS)
    energy = build_prediction(0, decoded, [activity], None, options)["energy"]
    operations, lemaire, yan = energy.pop("estimates")
    assert energy == plain
    assert operations["estimate_nj"] == energy["estimate_nj"]
    assert [each["estimator"] for each in (operations, lemaire, yan)] == list(ESTIMATORS)
    work = work_of(engine.card, activity.totals.synops, activity.totals.spikes)
    assert estimates(["memory-lemaire"], work, PROFILES["cmos-45nm"])[0].items() <= lemaire.items()
    blank = engine.run([blank_sample(engine.card)])[0].totals
    idle = work_of(engine.card, blank.synops, blank.spikes)
    assert yan["idle_nj"] == estimates(["memory-yan"], idle, PROFILES["cmos-45nm"])[0]["estimate_nj"]


def test_steps_that_did_not_run_are_not_in_the_activity_and_cost_nothing(engine: Engine, activity: Activity) -> None:
    scores, spikes, synops = activity.scores[:2], activity.spikes[:2], activity.synops[:2]
    [early] = activities_of(scores[np.newaxis], spikes[np.newaxis], synops[np.newaxis], [activity.input])
    options = options_for(engine.card, estimators=ESTIMATORS)
    energy = build_prediction(0, Decoded(blank_sample(engine.card), None), [early], None, options)["energy"]
    reached = sum(layer.dense_macs for layer in engine.card.layers)
    assert energy["synaptic_activity"] == activity.synops[:2].sum() / (reached * 2)
    assert energy["crossover_activity"] == 2 / (11 * 2)
    work = work_of(engine.card, early.totals.synops, early.totals.spikes, 2)
    assert energy["estimates"] == estimates(ESTIMATORS, work, PROFILES["cmos-45nm"])


def test_estimators_are_chosen_by_name(engine: Engine) -> None:
    def chosen(names: str | None) -> tuple[str, ...]:
        options = PredictOptions(energy=names)
        return resolve(options, "tiny", engine.card, Settings(), PROFILES).estimators

    assert chosen(None) == ()
    assert chosen("all") == chosen("memory-yan,all") == ESTIMATORS
    assert chosen("memory-yan,operations,memory-yan") == ("operations", "memory-yan")
    foreign = engine.card.model_copy(update={"network": "a network made elsewhere"})
    with pytest.raises(InvalidParameter, match="is not a layer") as refused:
        resolve(PredictOptions(energy="all"), "tiny", foreign, Settings(), PROFILES)
    assert refused.value.param == "energy"
    assert resolve(PredictOptions(), "tiny", foreign, Settings(), PROFILES).estimators == ()
