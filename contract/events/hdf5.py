"""HDF5: Metavision's layout, a table `CD/events`, and DSEC's, the arrays `events/t`, `x`, `y`, `p`.

h5py reads them; it is an extra. A file may name other files, which are never opened, and its sizes are checked before
anything is unpacked.
"""

import io
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents, ServiceError
from contract.events.checks import COLUMNS, check_count, column_names, unordered_events
from contract.events.npy import check_type

try:
    import h5py
except ImportError:
    h5py = None
else:
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401  # registers the compression of DSEC's files

MAGIC = b"\x89HDF\r\n\x1a\n"
AVAILABLE = h5py is not None

_MAX_CHUNK_BYTES = 64_000_000
_ECF = "36559"  # the filter of Metavision's compression


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]`; in DSEC's layout `t_offset` is added to the times. Raises `InvalidEvents`."""
    if h5py is None:
        raise InvalidEvents("HDF5 recordings need the package h5py: pip install 'stl-snn[hdf5]'")
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return _events(file, max_events)
    except (ServiceError, MemoryError):
        raise
    except Exception as problem:  # h5py fails on broken files in many ways
        if _ECF in str(problem):
            raise InvalidEvents(
                "the HDF5 recording has Metavision's ECF compression, for which there is no filter here: save it "
                "as RAW, or with another compression"
            ) from problem
        raise InvalidEvents("the HDF5 recording is broken, or has a compression that is not supported") from problem


def _events(file: Any, max_events: int) -> NDArray[np.int64]:
    table = _dataset(file, "CD", "events")
    if table is not None:
        names = column_names(table.dtype.names or ())
        for name, field in names.items():
            check_type(table.dtype[field], name)
        check_count(table.shape[0], max_events)
        rows = table[()]
        return unordered_events(*(rows[field] for field in names.values()))
    columns = [_dataset(file, "events", name) for name in COLUMNS]
    if any(column is None for column in columns):
        raise InvalidEvents("an HDF5 recording has a table CD/events, or arrays events/t, events/x, events/y, events/p")
    lengths = {name: column.shape[0] for name, column in zip(COLUMNS, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        raise InvalidEvents(f"t, x, y and p must have the same length; the lengths are {lengths}")
    check_count(lengths["t"], max_events)
    for name, column in zip(COLUMNS, columns, strict=True):
        check_type(column.dtype, name)
    t, x, y, p = (column[()] for column in columns)
    offset = _dataset(file, None, "t_offset")
    if offset is not None and offset.size == 1 and offset.dtype.kind in "iu":
        t = t.astype(np.int64) + int(np.ravel(offset[()])[0])
    return unordered_events(t, x, y, p)


def _dataset(file: Any, group: str | None, name: str) -> Any:
    """A data set of one dimension inside this very file, or None; `InvalidEvents` for one that is elsewhere."""
    inside = file
    for part in (name,) if group is None else (group, name):
        if not isinstance(inside, h5py.Group):
            return None
        link = inside.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise InvalidEvents(f"{part} of the HDF5 recording is a link to somewhere else, which is not followed")
        inside = inside[part]
    if not isinstance(inside, h5py.Dataset):
        return None
    if inside.external or inside.is_virtual:
        raise InvalidEvents(f"{name} of the HDF5 recording lies in another file, which is not opened")
    if group is not None and len(inside.shape or ()) != 1:
        raise InvalidEvents(f"{name} of the HDF5 recording must have one dimension")
    if inside.chunks and prod(inside.chunks) * inside.dtype.itemsize > _MAX_CHUNK_BYTES:
        raise InvalidEvents(f"{name} of the HDF5 recording has chunks of more than {_MAX_CHUNK_BYTES} bytes")
    return inside
