"""NumPy `.npz` files: a zip archive with the arrays t, x, y and p, integers of the same length.

The header and size of every member are checked before it is unpacked, so that a small archive cannot become a large
array.
"""

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents, ServiceError
from contract.events.checks import COLUMNS, check_count, column_names, unordered_events
from contract.events.npy import array_header, check_type

MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
DIRECTORY_ENTRY = b"PK\x01\x02"
MAX_MEMBERS = 64
HEADER_BYTES = 1024


def read(data: bytes, max_events: int) -> NDArray[np.int64]:
    """Events int64 `[N, 4]`; p may be boolean. Other arrays of the archive are not unpacked."""
    if data.count(DIRECTORY_ENTRY) > MAX_MEMBERS:  # opening it would take far more memory than it has bytes
        raise InvalidEvents(f"the .npz archive exceeds the limit of {MAX_MEMBERS} members")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive)
            lengths = {name: _length(archive, members[name], name) for name in COLUMNS}
            if len(set(lengths.values())) > 1:
                raise InvalidEvents(f"t, x, y and p must have the same length; the lengths are {lengths}")
            check_count(lengths["t"], max_events)
            return unordered_events(*(_values(archive, members[name]) for name in COLUMNS))
    except (ServiceError, MemoryError):
        raise
    except Exception as problem:  # zipfile fails on broken archives in many ways
        raise InvalidEvents("the .npz archive is broken") from problem


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members t, x, y and p."""
    found = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    members = {name: found[given] for name, given in column_names(found).items()}
    for name in COLUMNS:
        if members[name].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InvalidEvents(f"the array {name} of the .npz archive has a compression that NumPy does not use")
    return members


def _length(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> int:
    """The length of one array from its header, which must agree with the size of the member."""
    with archive.open(info) as stream:
        header = array_header(stream.read(HEADER_BYTES), info.file_size)
    if len(header.shape) != 1:
        raise InvalidEvents(f"{name} must have one dimension, not {len(header.shape)}")
    check_type(header.dtype, name)
    return header.shape[0]


def _values(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[np.void]:
    with archive.open(info) as stream:
        content = stream.read(info.file_size)  # a size limits what is unpacked; read() without one does not
    header = array_header(content)
    return np.frombuffer(content, header.dtype, offset=header.start)
