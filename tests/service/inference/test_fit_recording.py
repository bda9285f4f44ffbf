"""Recordings that do not fit the model's sensor or are out of order: fitted as asked, refused with what would help."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.card import Card, read_card
from contract.errors import InvalidEvents, InvalidParameter
from contract.events.geometry import Window
from contract.settings import Settings
from service.inference.bodies import EventColumns, EventsInput
from service.inference.decode import Decoded, File, decode
from service.inference.fit_recording import Fitting, fit_recording
from service.inference.options import PredictOptions
from service.inference.predictor import Predictor
from service.models.single import SingleVersion
from tests.service.models_in_memory import decode_options_for, load_version

LARGE = [[100, 10, 4, 1], [1100, 19, 11, 0], [2100, 14, 6, 1]]  # on a sensor of 20 x 12 pixels


@pytest.fixture(scope="module")
def card(tiny_store_root: Path) -> Card:
    return read_card(tiny_store_root / "tiny-events" / "1" / "model.pt")


def fitted(card: Card, events: list[list[int]], **fitting: Any) -> tuple[list[list[int]], dict[str, Any]]:
    sample, done = fit_recording(np.array(events, np.int64), card.input, card.encoder, Fitting(**fitting))
    return sample.events.tolist(), dict(done)


def test_a_picture_is_scaled_to_the_sensor(card: Card) -> None:
    places, done = fitted(card, LARGE, fit="scale")
    assert places == [[100, 4, 2, 1], [1100, 7, 7, 0], [2100, 5, 4, 1]]
    assert done == {"events": 3, "events_used": 3, "span_us": 2000, "resized_from": (12, 20)}
    places, done = fitted(card, LARGE, fit="scale", window=Window(0, 0, 40, 24))
    assert [each[1:3] for each in places] == [[2, 1], [3, 3], [2, 2]]
    assert (done["window"], done["resized_from"], done["events_in_window"]) == ((0, 0, 40, 24), (24, 40), 3)


def test_a_part_of_the_picture_is_taken_and_time_begins_in_it(card: Card) -> None:
    places, done = fitted(card, LARGE, fit="crop")
    assert done["window"] == (6, 2, 8, 8)
    assert places == [[100, 4, 2, 1]]
    places, done = fitted(card, LARGE, window=Window(12, 4, 8, 8))
    assert places == [[1100, 7, 7, 0], [2100, 2, 2, 1]]
    assert (done["events"], done["events_in_window"], done["span_us"]) == (3, 2, 1000)


def test_rows_are_counted_from_the_lower_edge(card: Card) -> None:
    places, done = fitted(card, [[0, 1, 2, 1], [5, 3, 7, 0]], flip_y=True)
    assert places == [[0, 1, 5, 1], [5, 3, 0, 0]]
    assert done["flipped_y"] is True


def test_events_are_sorted_and_equal_times_keep_their_order(card: Card) -> None:
    places, done = fitted(card, [[9, 1, 1, 1], [5, 2, 2, 0], [9, 3, 3, 1], [5, 4, 4, 0]], sort=True)
    assert [each[1] for each in places] == [2, 4, 1, 3]
    assert (done["sorted"], done["span_us"]) == (True, 4)


@pytest.mark.parametrize("form", ["file", "json"])
def test_a_refusal_ends_with_the_parameter_that_helps(card: Card, form: str) -> None:
    def read(events: list[list[int]], **fitting: Any) -> Decoded:
        options = decode_options_for(card, fitting=Fitting(**fitting))
        if form == "file":
            rows = "".join(",".join(map(str, event)) + "\n" for event in events)
            return decode(File(f"t,x,y,p\n{rows}".encode()), options)
        t, x, y, p = map(list, zip(*events, strict=True))
        return decode(EventsInput(events=EventColumns(t=t, x=x, y=y, p=p)), options)

    with pytest.raises(InvalidEvents, match=r"event 0 is at x 10, y 4, .*; fit=scale .* takes a part of it$"):
        read(LARGE)
    unordered = [[9, 1, 1, 1], [5, 2, 2, 0]]
    with pytest.raises(InvalidEvents, match=r"event 1: .* in ascending order; order=sort sorts them$"):
        read(unordered)
    assert read(unordered, sort=True).preprocessing is not None
    with pytest.raises(InvalidEvents, match="none of the 3 events lies inside the window"):
        read(LARGE, window=Window(0, 0, 4, 4))
    with pytest.raises(InvalidEvents, match="no sensor is as large"):
        read([[0, 2**40, 1, 1]], fit="scale")


async def test_predict_takes_them_and_refuses_those_that_do_not_fit(tiny_store_root: Path) -> None:
    content = b"t,x,y,p\n100,10,4,1\n1100,19,11,0\n50,14,6,1\n"
    async with Predictor(SingleVersion(load_version(tiny_store_root, "tiny-events")), Settings()) as predictor:
        options = PredictOptions(fit="scale", window="0,0,20,12", order="sort")
        [found] = (await predictor.predict("tiny-events", [content], options))["predictions"]
        assert found["preprocessing"] == {
            "events": 3, "events_used": 3, "span_us": 1050, "sorted": True, "window": (0, 0, 20, 12),
            "resized_from": (12, 20), "events_in_window": 3,
        }  # fmt: skip
        for wrong in (
            PredictOptions(window="0,0,9,8"),
            PredictOptions(window="0,0,9"),
            PredictOptions(fit="crop", window="0,0,8,8"),
        ):
            with pytest.raises(InvalidParameter) as refused:
                await predictor.predict("tiny-events", [content], wrong)
            assert refused.value.param == "window"
    async with Predictor(SingleVersion(load_version(tiny_store_root, "tiny-image")), Settings()) as predictor:
        with pytest.raises(InvalidParameter, match="takes images"):
            await predictor.predict("tiny-image", [content], PredictOptions(flip_y=True))
