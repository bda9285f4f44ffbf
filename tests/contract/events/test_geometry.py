import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import InvalidEvents, InvalidParameter
from contract.events.geometry import Geometry, Window

EVENTS = np.array([(0, 40, 10, 1), (1, 279, 249, 0), (2, 39, 10, 1), (3, 100, 130, 1), (4, 280, 10, 1)], np.int64)


def fit(geometry: Geometry, events: np.ndarray = EVENTS, size: tuple[int, int] = (240, 240)) -> list[list[int]]:
    before = events.copy()
    found: list[list[int]] = geometry.fit(events, *size, 2).tolist()
    np.testing.assert_array_equal(events, before)
    return found


def test_nothing_changes_by_default_and_an_event_outside_the_sensor_is_an_error() -> None:
    assert fit(Geometry(), EVENTS[:1]) == [[0, 40, 10, 1]]
    with pytest.raises(InvalidEvents, match="event 1 is at x 279, y 249, outside the model's sensor"):
        fit(Geometry())


def test_a_crop_leaves_out_what_is_outside_and_counts_from_its_corner() -> None:
    assert fit(Geometry(crop=Window(40, 10, 240, 240))) == [[0, 0, 0, 1], [1, 239, 239, 0], [3, 60, 120, 1]]


def test_downsampling_joins_squares_of_pixels_after_the_crop() -> None:
    geometry = Geometry(crop=Window(40, 10, 240, 240), downsample=7)
    assert fit(geometry, size=(35, 35)) == [[0, 0, 0, 1], [1, 34, 34, 0], [3, 8, 17, 1]]
    assert fit(Geometry(downsample=8), size=(36, 36))[4] == [4, 35, 1, 1]


def test_flip_y_counts_rows_from_the_lower_edge_of_the_model() -> None:
    assert fit(Geometry(crop=Window(40, 10, 240, 240), flip_y=True))[0] == [0, 0, 239, 1]
    assert fit(Geometry(downsample=8, flip_y=True), size=(36, 36))[0] == [0, 5, 34, 1]


@given(
    sensor=st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
)
@settings(deadline=None, max_examples=30)
def test_scaling_maps_the_corners_of_every_picture_into_the_model(
    sensor: tuple[int, int], size: tuple[int, int]
) -> None:
    corners = np.array([(0, 0, 0, 0), (0, sensor[0] - 1, sensor[1] - 1, 0)], np.int64)
    found = fit(Geometry(scale=sensor), corners, size)
    assert found[0] == [0, 0, 0, 0]
    assert found[1] == [0, (sensor[0] - 1) * size[0] // sensor[0], (sensor[1] - 1) * size[1] // sensor[1], 0]


def test_an_event_outside_the_picture_to_be_scaled_is_an_error() -> None:
    with pytest.raises(InvalidEvents, match="event 4 is at x 280, y 10, outside the 280 x 250 pixels"):
        fit(Geometry(scale=(280, 250)))


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (Geometry(crop=Window(0, 0, 241, 240)), "a crop of 241 x 240 gives 241 x 240 pixels, .* has 240 x 240"),
        (Geometry(crop=Window(0, 0, 9, 481), downsample=2), "a downsample of 2 gives 5 x 241 pixels"),
        (Geometry(downsample=0), "downsample must be 1 or more"),
        (Geometry(downsample=2, scale=(9, 9)), "exclude each other"),
    ],
)
def test_what_cannot_fit_into_the_model_is_refused_before_any_event(geometry: Geometry, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        geometry.check(240, 240)


def test_what_fits_is_accepted() -> None:
    for geometry in (
        Geometry(),
        Geometry(Window(5, 5, 480, 479), downsample=2),
        Geometry(Window(0, 0, 9, 9), 1, (9, 9)),
    ):
        geometry.check(240, 240)


def test_a_window_is_written_as_four_numbers() -> None:
    assert Window.parse("40,0,240,180", "crop") == (40, 0, 240, 180)
    assert Window.centre((640, 480), (240, 500)) == (200, 0, 240, 480)
    for text in ("", "1,2,3", "1,2,3,-4", "1,2,3,4.0", "0,0,0,5", "0,0,9999999,5", "0,0,5,٣"):
        with pytest.raises(InvalidParameter, match="window must be") as refused:
            Window.parse(text, "window")
        assert refused.value.param == "window"
