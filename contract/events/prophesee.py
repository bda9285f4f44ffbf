"""Common parts of Prophesee's formats: the header of '%' lines, and words that carry the high bits of time.

Specification: https://docs.prophesee.ai/stable/data/file_formats/index.html
"""

import re

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events.headers import text_header

ENCODING = re.compile(rb"^% *(?:evt +([0-9.]+)|format +EVT([0-9]+))", re.MULTILINE | re.IGNORECASE)
BYTE_ORDER = re.compile(rb"^% *(?:format +EVT[^\n]*\b)?endianness[ =]+(\w+)", re.MULTILINE)
DAT_HEADER = re.compile(rb"^% *Data file containing ", re.MULTILINE)


def header(data: bytes) -> bytes:
    """The lines of '%' at the start of `data`."""
    return text_header(data, "%", b"% end")


def encoding(lines: bytes) -> str | None:
    """The encoding named in the header: `evt2`, `evt3`, another `evt...`, or None if there is none."""
    found = ENCODING.search(lines)
    if not found:
        return None
    version = (found[1] or found[2]).decode().replace(".", "")
    return "evt" + (version.removesuffix("0") or "0")


def body(data: bytes) -> tuple[memoryview, int, str]:
    """The bytes after the header of a RAW file, the position of the first, and the order of the bytes of a word.

    The order is `little`, also where the header names none, or `legacy`, which only EVT 2.1 has.
    """
    lines = header(data)
    orders = {order.decode().lower() for order in BYTE_ORDER.findall(lines)} or {"little"}
    if orders - {"little", "legacy"}:
        raise InvalidEvents(
            f"only little-endian RAW files are supported; the header says {min(orders - {'little', 'legacy'})[:10]}"
        )
    return memoryview(data)[len(lines) :], len(lines), "legacy" if "legacy" in orders else "little"


def first(marks: NDArray[np.bool_]) -> int:
    """The index of the first mark, or the length of `marks` if there is none."""
    return int(marks.argmax()) if marks.any() else len(marks)


def unwrap(counter: NDArray[np.int64], bits: int, wraps: int) -> NDArray[np.int64]:
    """Continue a counter of so many bits where it wraps, that is, where it falls by more than half its range.

    `wraps` is how often it has wrapped up to its first value.
    """
    falls = np.cumsum(np.diff(counter, prepend=counter[:1]) < -(1 << (bits - 1)))
    return counter + ((wraps + falls) << bits)
