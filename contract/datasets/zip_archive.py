"""Untrusted zip archives, read without unpacking them to disk: the directory is checked before any member is read.

Nothing is written under a member's name, and an archive inside the archive is a file like any other.
"""

import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path
from typing import IO

from contract.errors import ArchiveTooLarge, InvalidDataset, ServiceError

MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
MAX_MEMBERS = 200_000
MAX_DIRECTORY_BYTES = 16 * 1024 * 1024  # Python needs about ten times as much memory for it
MAX_RATIO = 200
SMALL_BYTES = 16 * 1024 * 1024  # up to this unpacked size, any compression ratio is harmless

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST_SHOWN = 80
_PIECE = 256 * 1024


class Archive:
    """An open archive. `names` are its files, sorted, without hidden files and the files that macOS adds."""

    def __init__(self, archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo]):
        self.names = sorted(name for name in infos if not _is_ignored(name))
        self._archive = archive
        self._infos = infos

    def size(self, name: str) -> int:
        """Unpacked size of a member in bytes."""
        return self._infos[name].file_size

    def read(self, name: str, most: int) -> bytes:
        """The content of a member; `ArchiveTooLarge` for more than `most` bytes, `InvalidDataset` if it is broken."""
        if self.size(name) > most:
            raise ArchiveTooLarge(f"{shown(name)} has {self.size(name)} bytes; the limit is {most}")
        with self.stream(name) as stream:
            return b"".join(self.pieces(name, stream))

    def pieces(self, name: str, stream: IO[bytes]) -> Iterator[bytes]:
        """The rest of an open member piece by piece; `InvalidDataset` if it ends too early.

        It never yields more than the directory says: zipfile stops there, and the checksum of longer data is wrong.
        """
        while piece := stream.read(_PIECE):
            yield piece
        if stream.tell() != self.size(name):
            raise InvalidDataset(f"{shown(name)} is broken: it ends after {stream.tell()} of {self.size(name)} bytes")

    @contextmanager
    def stream(self, name: str) -> Iterator[IO[bytes]]:
        """A member as a stream; any error inside the block becomes `InvalidDataset`."""
        with _as_invalid_dataset(f"{shown(name)} is broken"), self._archive.open(self._infos[name]) as stream:
            yield stream


@contextmanager
def open_archive(path: Path, max_unpacked_bytes: int) -> Iterator[Archive]:
    """Open the zip archive at `path` and check its whole directory.

    Raises `InvalidDataset` for a file that is not a complete zip archive, for encrypted members, links, names that lead
    out of the archive, duplicate names and unusual compression; `ArchiveTooLarge` for too many members or bytes, and
    for zip bombs.
    """
    with _BoundedReader(FileIO(path)) as file:
        if file.read(4) not in MAGICS:
            raise InvalidDataset("the file is neither a .zip nor an .npz archive")
        with _as_invalid_dataset("the archive is broken or incomplete"):
            archive = zipfile.ZipFile(file)
        with archive:
            yield Archive(archive, _checked(archive.infolist(), path.stat().st_size, max_unpacked_bytes))


def shown(name: str) -> str:
    """A member's name for messages: quoted, escaped and shortened."""
    return repr(name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}...")


class _BoundedReader(BufferedReader):
    """Limits the size of a single read: zipfile reads the whole directory at once, before checking any of it."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise ArchiveTooLarge(f"the archive's directory has {size} bytes; the limit is {MAX_DIRECTORY_BYTES}")
        return super().read(size)


def _checked(infos: list[zipfile.ZipInfo], packed: int, max_unpacked_bytes: int) -> dict[str, zipfile.ZipInfo]:
    if len(infos) > MAX_MEMBERS:
        raise ArchiveTooLarge(f"the archive has {len(infos)} members; the limit is {MAX_MEMBERS}")
    found: dict[str, zipfile.ZipInfo] = {}
    unpacked = 0
    for info in infos:
        name = info.orig_filename
        _check_name(name)
        if name in found:
            raise InvalidDataset(f"{shown(name)} is in the archive twice")
        _check_kind(name, info)
        unpacked += info.file_size
        if _is_bomb(info.file_size, info.compress_size):
            raise ArchiveTooLarge(f"{shown(name)} unpacks to more than {MAX_RATIO} times its size")
        if unpacked > max_unpacked_bytes:
            raise ArchiveTooLarge(f"the members up to {shown(name)} unpack to more than {max_unpacked_bytes} bytes")
        found[name] = info
    if _is_bomb(unpacked, packed):  # members may overlap
        raise ArchiveTooLarge(f"the archive unpacks to more than {MAX_RATIO} times its size")
    return found


def _check_name(name: str) -> None:
    parts = name.removesuffix("/").split("/")
    if "\0" in name or "\\" in name or _DRIVE.match(name) or not {"", ".", ".."}.isdisjoint(parts):
        raise InvalidDataset(
            f"{shown(name)} is not a valid member name: names are relative, with '/', and without '..', drives or NUL"
        )


def _check_kind(name: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise InvalidDataset(f"{shown(name)} is encrypted")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InvalidDataset(f"{shown(name)} is a link or a special file")
    if info.compress_type not in _METHODS:
        raise InvalidDataset(f"{shown(name)} is compressed by a method other than 'stored' and 'deflated'")


def _is_bomb(unpacked: int, packed: int) -> bool:
    return unpacked > SMALL_BYTES and unpacked > MAX_RATIO * packed


def _is_ignored(name: str) -> bool:
    parts = name.split("/")
    return name.endswith("/") or parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts)


@contextmanager
def _as_invalid_dataset(message: str) -> Iterator[None]:
    try:
        yield
    except (ServiceError, MemoryError):
        raise
    except Exception as problem:  # zipfile fails on broken archives in many ways
        raise InvalidDataset(message) from problem
