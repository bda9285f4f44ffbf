"""Reading a recording of any format."""

from collections.abc import Callable
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents, InvalidParameter
from contract.events import aedat2, aedat3, aedat4, csv, dat, es, evt2, evt3, evt21, hdf5, nmnist, npy, npz, prophesee
from contract.events.checks import check_order

AEDAT2 = b"#!AER-DAT2.0"
AEDAT3 = b"#!AER-DAT3.1"
ANY_AEDAT = b"#!AER-DAT"

READERS: dict[str, Callable[[bytes, int], NDArray[np.int64]]] = {
    "nmnist": nmnist.read,
    "aedat4": aedat4.read,
    "dat": dat.read,
    "evt2": evt2.read,
    "evt21": evt21.read,
    "evt3": evt3.read,
    "npy": npy.read,
    "npz": npz.read,
    "csv": csv.read,
    "es": es.read,
    **({"hdf5": hdf5.read} if hdf5.AVAILABLE else {}),
}
FORMATS = ("nmnist", "aedat", *list(READERS)[1:])
NAMES_WITHOUT_HEADER = {**dict.fromkeys(nmnist.SUFFIXES, "nmnist"), ".dat": "dat", ".csv": "csv"}
NEEDS_MAGIC = ("aedat", "aedat4", "npy", "npz", "es", "hdf5")


def read_events(
    data: bytes,
    format: str | None = None,
    *,
    filename: str | None = None,
    camera: str | None = None,
    max_events: int,
    any_order: bool = False,
) -> NDArray[np.int64]:
    """Read one recording into events int64 `[N, 4]`: t in µs in ascending order, unless `any_order`; x; y; p, 0 or 1.

    The header decides which format it is. `format`, one of `FORMATS`, and the extension of `filename` decide only if
    there is no header; a `format` that contradicts the header is an error. Only AEDAT 2.0 needs `camera`.

    Raises `InvalidEvents` for anything wrong with the data, `TooManyEvents` for more than `max_events`, and
    `InvalidParameter` for an unknown `format`.
    """
    if format is not None and format not in FORMATS:
        raise InvalidParameter(f"{format!r} is not a format; the formats are {', '.join(FORMATS)}", param="format")
    if not data:
        raise InvalidEvents("the recording is empty")
    found = format_of(data)
    if format is not None and found is not None and found != format:
        raise InvalidEvents(f"the header is that of {found}, but the format parameter says {format}", param="format")
    chosen = found or format or NAMES_WITHOUT_HEADER.get(PurePath(filename or "").suffix.lower())
    if chosen is None:
        raise InvalidEvents(
            "the recording has no header that identifies its format: set 'format' to one of " + ", ".join(FORMATS),
            param="format",
        )
    if found is None and chosen in NEEDS_MAGIC:
        raise InvalidEvents(f"the recording does not start with the header of {chosen}")
    if chosen != "aedat":
        events = READERS[chosen](data, max_events)
    elif data.startswith(AEDAT3):
        events = aedat3.read(data, max_events)
    else:
        events = aedat2.read(data, max_events, camera)
    if not len(events):
        raise InvalidEvents("the recording holds no events")
    return events if any_order else check_order(events)


def format_of(data: bytes) -> str | None:
    """The format identified by the first bytes, or None; `InvalidEvents` for a version that is not supported."""
    if data.startswith(aedat4.MAGIC):
        return "aedat4"
    if data.startswith((AEDAT2, AEDAT3)):
        return "aedat"
    if data.startswith(ANY_AEDAT):
        raise InvalidEvents(f"AEDAT 2.0, 3.1 and 4.0 are supported; the header says {data[9:12].decode('latin-1')!r}")
    if data.startswith(es.MAGIC):
        return "es"
    if data.startswith(hdf5.MAGIC):
        if not hdf5.AVAILABLE:
            raise InvalidEvents("HDF5 recordings need the package h5py: pip install 'stl-snn[hdf5]'")
        return "hdf5"
    if data.startswith(npy.MAGIC):
        return "npy"
    if data.startswith(npz.MAGICS):
        return "npz"
    if csv.columns(data):
        return "csv"
    return _prophesee(data)


def _prophesee(data: bytes) -> str | None:
    lines = prophesee.header(data)
    encoding = prophesee.encoding(lines)
    if encoding is None:
        return "dat" if prophesee.DAT_HEADER.search(lines) else None
    if encoding not in READERS:
        raise InvalidEvents(f"EVT 2.0, 2.1 and 3.0 are supported; the header says {encoding}")
    return encoding
