"""Common parts of Prophesee's formats: the header of '%' lines, and words that carry the high bits of time.

Specification: https://docs.prophesee.ai/stable/data/file_formats/index.html
"""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events.headers import text_header

ENCODING = re.compile(rb"^% *(?:evt +([0-9.]+)|format +EVT([0-9]+))", re.MULTILINE | re.IGNORECASE)
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


def raw_words(data: bytes, dtype: str) -> tuple[NDArray[Any], int]:
    """The binary words after the header of a RAW file, and the byte at which they start."""
    lines = header(data)
    if re.search(rb"^% *endianness +big", lines, re.MULTILINE):
        raise InvalidEvents("only little-endian RAW files are supported; the header says big")
    size = np.dtype(dtype).itemsize
    if (len(data) - len(lines)) % size:
        raise InvalidEvents(
            f"the recording ends inside the {size}-byte word at byte {len(data) - (len(data) - len(lines)) % size}"
        )
    return np.frombuffer(data, dtype, offset=len(lines)), len(lines)


def refuse_words(bad: NDArray[np.bool_], start: int, size: int, name: str) -> None:
    """Raise `InvalidEvents` for the first word of a kind that the format does not have."""
    if bad.any():
        raise InvalidEvents(
            f"the word at byte {start + int(bad.argmax()) * size} has a type that does not exist in {name}"
        )


def first(marks: NDArray[np.bool_]) -> int:
    """The index of the first mark, or the length of `marks` if there is none."""
    return int(marks.argmax()) if marks.any() else len(marks)


def unwrap(counter: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Continue a counter of so many bits where it wraps, that is, where it falls by more than half its range."""
    wraps = np.cumsum(np.diff(counter, prepend=counter[:1]) < -(1 << (bits - 1)))
    return counter + (wraps << bits)
