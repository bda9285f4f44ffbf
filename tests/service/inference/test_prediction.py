from pathlib import Path

import numpy as np
import pytest

from contract.card import Card
from service.engine.interface import Activity, Engine, ImageSample, activities_of, blank_sample
from service.inference.bodies import Detail, Prediction
from service.inference.decode import Decoded
from service.inference.prediction import build_prediction
from tests.service.models_in_memory import load_version, options_for


@pytest.fixture(scope="session")
def engine(tiny_store_root: Path) -> Engine:
    return load_version(tiny_store_root, "tiny-image").engine


def predict(activity: Activity, card: Card, detail: Detail = "summary", top_k: int = 3) -> Prediction:
    options = options_for(card, detail=detail, top_k=top_k)
    return build_prediction(0, Decoded(blank_sample(card), None), activity, None, options)


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
