"""The rules for recordings of every format."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contract.errors import InvalidEvents, TooManyEvents

TIME_LIMIT = 2**62
COLUMNS = ("t", "x", "y", "p")
OTHER_NAMES = {"timestamp": "t", "ts": "t", "time": "t", "polarity": "p", "pol": "p"}
"""Names under which other software writes the columns."""
MAX_PACKETS = 100_000


def check_count(count: int, max_events: int) -> None:
    """Check the number of events before they are unpacked.

    Raises `InvalidEvents` for none and `TooManyEvents` for more than `max_events`.
    """
    if count == 0:
        raise InvalidEvents("the recording holds no events")
    if count > max_events:
        raise TooManyEvents(f"the recording exceeds the limit of {max_events} events")


def check_packets(packets: int) -> None:
    """Reject a recording of so many packets that reading them one by one would take minutes: `TooManyEvents`."""
    if packets > MAX_PACKETS:
        raise TooManyEvents(f"the recording exceeds the limit of {MAX_PACKETS} packets")


def column_names(names: Iterable[str]) -> dict[str, str]:
    """Which of `names` holds each of the columns t, x, y and p, if all four are there; `InvalidEvents` if not."""
    found: dict[str, str] = {}
    given = list(names)
    for name in given:
        found.setdefault(OTHER_NAMES.get(name.lower(), name.lower()), name)
    if missing := [name for name in COLUMNS if name not in found]:
        raise InvalidEvents(
            f"the columns t (or timestamp), x, y and p (or polarity) are needed; missing: {', '.join(missing)}; there "
            f"are {', '.join(given)}"
        )
    return {name: found[name] for name in COLUMNS}


def events_array(t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike) -> NDArray[np.int64]:
    """Join four integer columns of equal length into int64 `[N, 4]` (t in µs, x, y, p) and check them.

    Raises `InvalidEvents` if there are no events, or naming the first event with a time that is negative, at least 2^62
    or earlier than that of the previous event, a negative coordinate, or a polarity other than 0 and 1.
    """
    events = unordered_events(t, x, y, p)
    if not len(events):
        raise InvalidEvents("the recording holds no events")
    return check_order(events)


def unordered_events(t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike) -> NDArray[np.int64]:
    """The same for events in any order, of which there may be none. Polarities -1 and 1 become 0 and 1."""
    columns = [np.asarray(column) for column in (t, x, y, p)]
    signs = columns[3]
    if signs.dtype.kind == "i" and signs.size and signs.min() == -1 and (signs != 0).all() and signs.max() <= 1:
        columns[3] = (signs > 0).astype(np.int64)
    for name, column, limit in zip(COLUMNS, columns, (TIME_LIMIT, TIME_LIMIT, TIME_LIMIT, 2), strict=True):
        _check_range(column, name, limit)
    events = np.empty((columns[0].size, 4), np.int64)
    for index, column in enumerate(columns):
        events[:, index] = column
    return events


def check_order(events: NDArray[np.int64], advice: str = "") -> NDArray[np.int64]:
    """`events` int64 `[N, 4]`; `InvalidEvents` names the first whose time is earlier than that of the previous one.

    `advice` ends the message.
    """
    falls = events[1:, 0] < events[:-1, 0]
    if falls.any():
        at = int(falls.argmax()) + 1
        raise InvalidEvents(
            f"event {at}: its time {events[at, 0]} µs is earlier than that of event {at - 1}, "
            f"{events[at - 1, 0]} µs; times must be in ascending order{advice}"
        )
    return events


def check_events(
    events: NDArray[np.int64], width: int, height: int, channels: int, advice: str = ""
) -> NDArray[np.int64]:
    """Check `events` int64 `[N, 4]` against a model's sensor and return them for a model with so many `channels`.

    A model with one channel does not distinguish polarities: p becomes 0 in all events. Raises `InvalidEvents` naming
    the first event outside `width` x `height`, with `advice` at the end, or with a polarity not below `channels`.
    """
    outside = (events[:, 1] >= width) | (events[:, 2] >= height) | (events[:, 1:3] < 0).any(axis=1)
    if outside.any():
        at = int(outside.argmax())
        raise InvalidEvents(
            f"event {at} is at x {events[at, 1]}, y {events[at, 2]}, outside the model's sensor: "
            f"x must be 0 to {width - 1} and y 0 to {height - 1}{advice}"
        )
    if channels == 1:
        events = events.copy()
        events[:, 3] = 0
    _check_range(events[:, 3], "p", channels)
    return events


def events_from_lists(
    t: object,
    x: object,
    y: object,
    p: object,
    *,
    max_events: int | None = None,
    live: bool = False,
    any_order: bool = False,
) -> NDArray[np.int64]:
    """Make events int64 `[N, 4]` from four lists of plain integers, as JSON has them.

    Raises `InvalidEvents` for anything but lists of equal length, for values that are not integers (such as true, 1.0
    and "1"), and as `events_array` does; `TooManyEvents` for more than `max_events`. With `any_order`
    times may fall; `live` events may be in any order, and there may be none.
    """
    lists = {name: _a_list(values, name) for name, values in zip(COLUMNS, (t, x, y, p), strict=True)}
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidEvents(
            "t, x, y and p must have the same length; the lengths are "
            + ", ".join(f"{name}: {length}" for name, length in lengths.items())
        )
    if max_events is not None and (lengths["t"] or not live):
        check_count(lengths["t"], max_events)
    join = unordered_events if live or any_order else events_array
    return join(*(_integers(values, name) for name, values in lists.items()))


def _a_list(values: object, name: str) -> Sequence[Any]:
    if not isinstance(values, list | tuple):
        raise InvalidEvents(f"{name} must be a list of integers")
    return values


def _integers(values: Sequence[Any], name: str) -> NDArray[np.int64]:
    if set(map(type, values)) - {int}:
        at = next(index for index, value in enumerate(values) if type(value) is not int)
        raise InvalidEvents(f"event {at}: {name} must be an integer, not {_shown(values[at])}")
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        at = next(index for index, value in enumerate(values) if not -(2**63) <= value < 2**63)
        raise InvalidEvents(f"event {at}: {name} does not fit into 64 bits") from None


def _shown(value: object) -> str:
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _check_range(column: NDArray[Any], name: str, limit: int) -> None:
    """Name the first value of an integer or boolean column outside 0 <= value < `limit`."""
    if not column.size or (int(column.min()) >= 0 and int(column.max()) < limit):
        return
    at = int(((column < 0) | (column >= limit)).argmax())
    allowed = "at least 0 and below 2^62" if limit == TIME_LIMIT else f"0 to {limit - 1}"
    raise InvalidEvents(f"event {at}: {name} is {column[at]}; it must be {allowed}")
