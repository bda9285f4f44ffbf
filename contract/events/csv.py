"""Text: one line of four integers per event, after a line that names the columns, or in the order t, x, y, p."""

import io
import re

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events.checks import COLUMNS, OTHER_NAMES, check_count, unordered_events

HEADER_BYTES = 100
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
VALUE = rb"[ \t]*+-?[0-9]{1,19}+[ \t]*+"
LINE = re.compile(VALUE + rb"(?:," + VALUE + rb"){3}\r?(?:\n|\Z)")
LINES = re.compile(rb"(?:" + VALUE + rb"(?:," + VALUE + rb"){3}\r?(?:\n|\Z))*+")


def columns(data: bytes) -> list[str] | None:
    """The names in the first line as t, x, y and p, if it names these and no others, else None."""
    line = data[:HEADER_BYTES].removeprefix(BYTE_ORDER_MARK).partition(b"\n")[0]
    given = [name.strip().strip('"').lower() for name in line.decode("latin-1").split(",")]
    names = [OTHER_NAMES.get(name, name) for name in given]
    return names if sorted(names) == sorted(COLUMNS) else None


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]`; `InvalidEvents` names the first line that is not four integers."""
    names = columns(data)
    body, first = data.partition(b"\n")[2].rstrip(), 2
    if names is None:
        body, first = data.removeprefix(BYTE_ORDER_MARK).rstrip(), 1
        if LINE.match(body) is None:
            raise InvalidEvents("the first line must name the columns, t,x,y,p, or be an event in this order")
        names = list(COLUMNS)
    check_count(body.count(b"\n") + 1 if body else 0, max_events)
    good = LINES.match(body)
    end = good.end() if good else 0
    if end < len(body):
        line = body[end : end + 40].partition(b"\n")[0].decode("latin-1").rstrip()
        number = body.count(b"\n", 0, end) + first
        raise InvalidEvents(f"line {number} is not four integers: {line!r}")
    try:
        table = np.loadtxt(io.BytesIO(body), np.int64, comments=None, delimiter=",", ndmin=2)
    except ValueError as problem:
        raise InvalidEvents("a number does not fit into 64 bits") from problem
    return unordered_events(*(table[:, names.index(name)] for name in COLUMNS))
