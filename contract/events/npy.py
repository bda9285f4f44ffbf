"""NumPy `.npy` files: a structured array with the fields t (timestamp), x, y, p (polarity), or integers `[N, 4]`.

The header is checked against the size of the data before anything is allocated. Nothing is unpickled.
"""

import io
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events.checks import COLUMNS, check_count, column_names, unordered_events

MAGIC = b"\x93NUMPY"


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]` from integer fields of any width; p may be boolean. Other fields are ignored.

    Raises `InvalidEvents` for another shape or type, and if header and size disagree.
    """
    shape, dtype, fortran_order, start = array_header(data)
    if dtype.names is None and (len(shape) != 2 or shape[1] != len(COLUMNS)):
        raise InvalidEvents(f"a plain array must be [N, 4] with columns t, x, y, p; its shape is {list(shape)}")
    if dtype.names is not None and len(shape) != 1:
        raise InvalidEvents(f"a structured array must have one dimension, not {len(shape)}")
    names = dict(zip(COLUMNS, COLUMNS, strict=True)) if dtype.names is None else column_names(dtype.names)
    for name, field in names.items():
        check_type(dtype if dtype.names is None else dtype[field], name)
    check_count(shape[0], max_events)
    array = np.frombuffer(data, dtype, offset=start)
    if dtype.names is not None:
        return unordered_events(*(array[field] for field in names.values()))
    table = array.reshape(shape, order="F" if fortran_order else "C")
    return unordered_events(*(table[:, column] for column in range(len(COLUMNS))))


class ArrayHeader(NamedTuple):
    """The header of a `.npy` file; the values begin at byte `start`."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.void]
    fortran_order: bool
    start: int


def array_header(data: bytes, size: int | None = None) -> ArrayHeader:
    """The header of a `.npy` file of `size` bytes (by default those of `data`) that begins with `data`.

    Raises `InvalidEvents` for a broken header, for Python objects, and if `size` does not match the header.
    """
    stream = io.BytesIO(data)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, fortran_order, dtype = readers[np.lib.format.read_magic(stream)](stream)
    except MemoryError:
        raise
    except Exception as problem:  # NumPy fails on broken headers in many ways
        raise InvalidEvents("the header of the .npy file is broken or of an unknown version") from problem
    if dtype.hasobject:
        raise InvalidEvents("a .npy file of Python objects is not supported")
    start = stream.tell()
    found = (len(data) if size is None else size) - start
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != found:
        raise InvalidEvents(
            f"the header of the .npy file says {list(shape)} values of {dtype.itemsize} bytes, but {found} bytes follow"
        )
    return ArrayHeader(shape, dtype, fortran_order, start)


def check_type(dtype: np.dtype[np.void], name: str) -> None:
    """Reject a column that does not hold integers; only the polarity may be boolean."""
    if dtype.kind not in "iu" and not (dtype.kind == "b" and name == "p"):
        raise InvalidEvents(f"{name} must be integers, not {dtype}")
