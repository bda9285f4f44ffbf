from pathlib import Path

import pytest

from contract.card import Card, Mode, read_card
from contract.errors import InvalidParameter
from contract.store import Store
from service.fine_tuning.create_job import Hyperparameters
from service.fine_tuning.plan import _threshold_learning


@pytest.fixture
def card(tiny_store_root: Path) -> Card:
    card = read_card(Store(tiny_store_root).checkpoint_path("tiny-image", 1))
    trained = {
        "threshold_learning_rate_multiplier": 10.0,
        "threshold_weight_decay": 1e-6,
        "threshold_floor": 0.1,
    }
    return card.model_copy(update={"learning": card.learning.model_copy(update=trained)})


@pytest.mark.parametrize(("mode", "multiplier"), [("stl", 10.0), ("sl", 10.0), ("tl", 1.0)])
def test_thresholds_learn_as_in_the_models_training(card: Card, mode: Mode, multiplier: float) -> None:
    assert _threshold_learning(Hyperparameters(), card, mode) == {
        "threshold_learning_rate_multiplier": multiplier,
        "threshold_weight_decay": 1e-6,
        "threshold_floor": 0.1,
    }


def test_a_job_can_choose_how_they_learn(card: Card) -> None:
    chosen = {
        "threshold_learning_rate_multiplier": 3.0,
        "threshold_weight_decay": 0.0,
        "threshold_floor": 0.0,
    }
    assert _threshold_learning(Hyperparameters.model_validate(chosen), card, "tl") == chosen


def test_an_older_card_says_nothing_of_them(card: Card) -> None:
    older = card.model_copy(update={"learning": card.learning.model_copy(update=dict.fromkeys(OF_THRESHOLDS))})
    assert _threshold_learning(Hyperparameters(), older, "stl") == {
        "threshold_learning_rate_multiplier": 1.0,
        "threshold_weight_decay": 0.0,
        "threshold_floor": None,
    }


def test_a_surrogate_that_divides_by_thresholds_needs_a_floor(card: Card) -> None:
    surrogate = card.neuron.surrogate.model_copy(update={"scale": "robust"})
    divides = card.model_copy(update={"neuron": card.neuron.model_copy(update={"surrogate": surrogate})})
    assert _threshold_learning(Hyperparameters(), divides, "stl")["threshold_floor"] == 0.1
    with pytest.raises(InvalidParameter, match="needs one above 0"):
        _threshold_learning(Hyperparameters(threshold_floor=0.0), divides, "stl")


OF_THRESHOLDS = ("threshold_learning_rate_multiplier", "threshold_weight_decay", "threshold_floor")
