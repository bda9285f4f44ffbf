"""Text headers: lines that start with a mark, before binary data."""

import re
from functools import cache


def text_header(data: bytes, mark: str, end: bytes) -> bytes:
    """The lines at the start of `data` that begin with `mark` ('#' or '%') and hold no control characters.

    If there is a line `end`, the header ends after it, because binary data may also begin with the byte of the mark.
    """
    found = _lines(mark).match(data)
    header = found.group() if found else b""
    last = re.search(rb"^" + re.escape(end) + rb"[ \t\r]*(?:\n|\Z)", header, re.MULTILINE)
    return header[: last.end()] if last else header


@cache
def _lines(mark: str) -> re.Pattern[bytes]:
    return re.compile(rb"(?:" + re.escape(mark.encode()) + rb"[\t\r\x20-\x7e\x80-\xff]*+(?:\n|\Z))*+")
