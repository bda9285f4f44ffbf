import numpy as np
import pytest

from contract.errors import InvalidEvents, TooManyEvents
from contract.events import check_events, events_from_lists


def test_lists_become_rows_of_t_x_y_p() -> None:
    events = events_from_lists([0, 5, 2**62 - 1], [1, 2, 3], [4, 5, 6], [0, 1, 0])
    assert events.dtype == np.int64
    assert events.tolist() == [[0, 1, 4, 0], [5, 2, 5, 1], [2**62 - 1, 3, 6, 0]]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (([], [], [], []), "no events"),
        (([1], [1, 2], [1], [1]), "t: 1, x: 2, y: 1, p: 1"),
        (([1, 0], [0, 0], [0, 0], [0, 0]), "event 1: its time 0 µs is earlier than that of event 0, 1 µs"),
        (([-1], [0], [0], [0]), "event 0: t is -1; it must be at least 0 and below 2\\^62"),
        (([2**62], [0], [0], [0]), "event 0: t is 4611686018427387904"),
        (([0, 2**70], [0, 0], [0, 0], [0, 0]), "event 1: t does not fit into 64 bits"),
        (([0, 1.0], [0, 0], [0, 0], [0, 0]), "event 1: t must be an integer, not 1.0"),
        (([0], [True], [0], [0]), "event 0: x must be an integer, not true"),
        (([0], [0], ["7"], [0]), "event 0: y must be an integer, not '7'"),
        (([0], [0], [0], [None]), "event 0: p must be an integer, not None"),
        (([0], [[0]], [0], [0]), "event 0: x must be an integer"),
        (([0], [-3], [0], [0]), "event 0: x is -3"),
        (([0], [0], [0], [2]), "event 0: p is 2; it must be 0 to 1"),
        ((0, [0], [0], [0]), "t must be a list"),
        (([0], "0", [0], [0]), "x must be a list"),
        (([0], [0], None, [0]), "y must be a list"),
    ],
)
def test_bad_lists_are_refused_naming_the_event(lists: tuple[object, object, object, object], message: str) -> None:
    with pytest.raises(InvalidEvents, match=message):
        events_from_lists(*lists)


def test_lists_of_more_events_than_allowed_are_refused() -> None:
    assert len(events_from_lists([1, 2], [0, 0], [0, 0], [0, 0], max_events=2)) == 2
    with pytest.raises(TooManyEvents):
        events_from_lists([1, 2], [0, 0], [0, 0], [0, 0], max_events=1)


def test_events_inside_the_sensor_are_returned_as_they_are() -> None:
    events = events_from_lists([1, 2], [0, 7], [5, 0], [0, 1])
    np.testing.assert_array_equal(check_events(events, 8, 6, 2), events)


@pytest.mark.parametrize(("x", "y"), [(8, 0), (0, 6), (100, 100)])
def test_the_first_event_outside_the_sensor_is_named(x: int, y: int) -> None:
    events = events_from_lists([1, 2, 3], [7, x, 99], [5, y, 99], [0, 1, 1])
    with pytest.raises(InvalidEvents, match=f"event 1 is at x {x}, y {y}, .* x must be 0 to 7 and y 0 to 5"):
        check_events(events, 8, 6, 2)


def test_a_model_of_one_channel_ignores_polarity() -> None:
    events = events_from_lists([1, 2], [0, 7], [5, 0], [0, 1])
    assert check_events(events, 8, 6, 1).tolist() == [[1, 0, 5, 0], [2, 7, 0, 0]]
    assert events[1, 3] == 1


def test_live_lists_may_be_out_of_order_or_empty() -> None:
    assert events_from_lists([5, 3], [0, 1], [2, 3], [1, 0], max_events=2, live=True).tolist() == [
        [5, 0, 2, 1],
        [3, 1, 3, 0],
    ]
    assert events_from_lists([], [], [], [], max_events=0, live=True).shape == (0, 4)
    with pytest.raises(TooManyEvents):
        events_from_lists([1, 1], [0, 0], [0, 0], [0, 0], max_events=1, live=True)
    with pytest.raises(InvalidEvents, match="event 1: t must be an integer"):
        events_from_lists([1, 2.0], [0, 0], [0, 0], [0, 0], live=True)
