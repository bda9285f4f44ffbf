import json
import zipfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.card import (
    CARD_FILE,
    MAX_CARD_BYTES,
    MAX_LABEL_LENGTH,
    MAX_LABELS,
    EventEncoder,
    ImageEncoder,
    Learning,
    read_card,
)

SHIPPED = sorted((Path(__file__).parents[2] / "model_store").rglob("model.pt"))
LEARNING = {"mode": "stl", "dataset": "digits", "samples": 1, "epochs": 1, "optimizer": "adam", "lr": 0.001, "seed": 0}


@pytest.mark.parametrize("checkpoint", SHIPPED, ids=lambda path: path.parent.parent.name)
def test_a_shipped_card_is_written_as_it_was_read_and_every_field_is_declared(checkpoint: Path) -> None:
    with zipfile.ZipFile(checkpoint) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(f"/extra/{CARD_FILE}")]
        written = archive.read(name).decode()
    card = read_card(checkpoint)
    assert card.model_dump_json(indent=2) == written
    assert card.learning.model_extra == {}
    assert card.learning.threshold in (0.5, 1.0)


def test_what_is_not_known_of_a_training_is_not_written() -> None:
    assert json.loads(Learning.model_validate(LEARNING).model_dump_json()) == LEARNING | {
        "attribution": None,
        "best_epoch": None,
    }
    known = LEARNING | {"attribution": "somebody", "best_epoch": 1, "freeze": [], "new_labels": False, "shift": 0}
    assert json.loads(Learning.model_validate(known).model_dump_json()) == known


def test_fields_of_another_release_are_kept() -> None:
    newer = LEARNING | {"attribution": None, "best_epoch": 1, "momentum": 0.9, "schedule": {"warm_up": [1, 2]}}
    assert json.loads(Learning.model_validate(newer).model_dump_json()) == newer


@pytest.mark.parametrize("wrong", [{"learning_rate_multiplier": 0}, {"baseline_accuracy": 2}, {"freeze": "conv1"}])
def test_a_declared_field_has_its_type(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Learning.model_validate(LEARNING | wrong)


@pytest.mark.parametrize("filler", ["x", '"', "\N{GRINNING FACE}"])
def test_a_card_with_as_many_and_as_long_labels_as_may_be_given_can_be_read(filler: str) -> None:
    labels = tuple(f"{number:04d}" + filler * (MAX_LABEL_LENGTH - 4) for number in range(MAX_LABELS))
    card = read_card(SHIPPED[0]).model_copy(update={"labels": labels})
    assert len(card.model_dump_json(indent=2).encode()) < MAX_CARD_BYTES


def test_an_encoder_says_the_largest_value_that_it_gives() -> None:
    assert [ImageEncoder(coding=coding, timesteps=1).max_input for coding in ("poisson", "direct")] == [1, 255]
    assert [EventEncoder(binning="span", bin_value=value, timesteps=1).max_input for value in ("binary", "count")] == [
        1,
        255,
    ]
