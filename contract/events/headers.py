"""Text headers: lines that start with one mark, ahead of binary data."""

import re
from functools import cache


def text_header(data: bytes, mark: str, end: bytes) -> bytes:
    """The lines at the start of `data` that begin with `mark` ('#' or '%') and hold no control characters.

    The header ends after the line `end` where there is one, for binary data may begin with the byte of the mark too.
    """
    found = _lines(mark).match(data)
    header = found.group() if found else b""
    last = re.search(rb"^" + re.escape(end) + rb"[ \t\r]*(?:\n|\Z)", header, re.MULTILINE)
    return header[: last.end()] if last else header


@cache
def _lines(mark: str) -> re.Pattern[bytes]:
    return re.compile(rb"(?:" + re.escape(mark.encode()) + rb"[\t\r\x20-\x7e\x80-\xff]*+(?:\n|\Z))*+")
