"""NumPy `.npy` files: a structured array with the fields t, x, y, p, or integers `[N, 4]` in that order.

The header is checked against the size of the data before anything is allocated, and nothing is ever unpickled.
"""

import io
from math import prod

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents
from contract.events.checks import COLUMNS, check_count, events_array

MAGIC = b"\x93NUMPY"


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]` from integer fields of any width; p may be boolean. Other fields are ignored.

    Raises `InvalidEvents` for another shape or type, and where header and size disagree.
    """
    shape, dtype, fortran_order, start = array_header(data)
    if dtype.names is None and (len(shape) != 2 or shape[1] != len(COLUMNS)):
        raise InvalidEvents(f"a plain array must be [N, 4] with columns t, x, y, p, its shape is {list(shape)}")
    if dtype.names is not None and len(shape) != 1:
        raise InvalidEvents(f"a structured array must have one dimension, it has {len(shape)}")
    if dtype.names is not None and not set(COLUMNS) <= set(dtype.names):
        raise InvalidEvents(f"a structured array must have the fields t, x, y and p, it has {', '.join(dtype.names)}")
    for name in COLUMNS:
        check_type(dtype if dtype.names is None else dtype[name], name)
    check_count(shape[0], max_events)
    array = np.frombuffer(data, dtype, offset=start)
    if dtype.names is not None:
        return events_array(*(array[name] for name in COLUMNS))
    table = array.reshape(shape, order="F" if fortran_order else "C")
    return events_array(*(table[:, column] for column in range(len(COLUMNS))))


def array_header(data: bytes, size: int | None = None) -> tuple[tuple[int, ...], np.dtype[np.void], bool, int]:
    """Shape, type, Fortran order and start of the values of a `.npy` file of `size` bytes that begins with `data`.

    Raises `InvalidEvents` for a broken header, for objects, and where `size` is not what the header needs.
    """
    stream = io.BytesIO(data)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, fortran_order, dtype = readers[np.lib.format.read_magic(stream)](stream)
    except Exception as problem:  # NumPy lets a broken header fail in many ways
        raise InvalidEvents("the header of the .npy file is broken or of an unknown version") from problem
    if dtype.hasobject:
        raise InvalidEvents("a .npy file of Python objects is not read")
    start = stream.tell()
    found = (len(data) if size is None else size) - start
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != found:
        raise InvalidEvents(
            f"the header of the .npy file says {list(shape)} values of {dtype.itemsize} bytes, {found} bytes follow"
        )
    return shape, dtype, fortran_order, start


def check_type(dtype: np.dtype[np.void], name: str) -> None:
    """Refuse a column that is not integers; the polarity alone may be boolean."""
    if dtype.kind not in "iu" and not (dtype.kind == "b" and name == "p"):
        raise InvalidEvents(f"{name} must be integers, it is {dtype}")
