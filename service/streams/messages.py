"""The text messages of a live stream's client: events as lists, and commands."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from contract.errors import InvalidParameter
from contract.events import events_from_lists
from service.inference.bodies import EventColumns
from service.parsing import Body, parse_json, validate_body

Command = Literal["flush", "reset", "close"]

EVENT_BYTES = 8  # the shortest event: four digits, each with a comma


class Message(Body):
    """Events, or a command."""

    events: EventColumns | None = Field(None, description="Events as columns; their times may be out of order.")
    type: Command | None = Field(None, description="What to do.")


def most_events(size: int) -> int:
    """The most events that a message of `size` bytes can hold: its cost, before it is parsed."""
    return size // EVENT_BYTES


def read_message(text: bytes, max_events: int) -> NDArray[np.int64] | Command:
    """A message's events int64 `[N, 4]` (t in µs, x, y, p) in the order in which they were sent, or its command.

    Raises `InvalidJson`, `InvalidParameter` for anything but one of the two, `InvalidEvents` for a value that no event
    has, and `TooManyEvents` for more than `max_events`.
    """
    message = validate_body(parse_json(text), Message)
    if message.type is not None and message.events is None:
        return message.type
    if message.events is None or message.type is not None:
        raise InvalidParameter(
            f"a message is an object with either 'events' or 'type', one of {', '.join(get_args(Command))}"
        )
    columns = message.events
    return events_from_lists(columns.t, columns.x, columns.y, columns.p, max_events=max_events, live=True)
