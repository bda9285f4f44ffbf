"""Zip archives from strangers, read without unpacking them: what is in one is checked before any of it is read.

Nothing is ever written to disk by a member's name, and an archive inside the archive is a file like any other.
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
MAX_DIRECTORY_BYTES = 16 * 1024 * 1024  # what Python keeps of it is some ten times as much
MAX_RATIO = 200
SMALL_BYTES = 16 * 1024 * 1024  # what unpacks to no more than this is no bomb, however well it is packed

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST_SHOWN = 80
_PIECE = 256 * 1024


class Archive:
    """An open archive: `names` are its files without directories, hidden files and what macOS adds, sorted."""

    def __init__(self, archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo]):
        self.names = sorted(name for name in infos if not _is_ignored(name))
        self._archive = archive
        self._infos = infos

    def size(self, name: str) -> int:
        """Bytes of a member, unpacked."""
        return self._infos[name].file_size

    def read(self, name: str, most: int) -> bytes:
        """A member as a whole; `ArchiveTooLarge` for more than `most` bytes, `InvalidDataset` for a broken one."""
        if self.size(name) > most:
            raise ArchiveTooLarge(f"{shown(name)} has {self.size(name)} bytes, more than the {most} that are read")
        with self.stream(name) as stream:
            return b"".join(self.pieces(name, stream))

    def pieces(self, name: str, stream: IO[bytes]) -> Iterator[bytes]:
        """The rest of an open member piece by piece; `InvalidDataset` where it has fewer bytes than it should.

        There are never more than the directory says, whatever the packed data would give: zipfile stops there, and
        the checksum is wrong.
        """
        while piece := stream.read(_PIECE):
            yield piece
        if stream.tell() != self.size(name):
            raise InvalidDataset(f"{shown(name)} is broken: it ends after {stream.tell()} of {self.size(name)} bytes")

    @contextmanager
    def stream(self, name: str) -> Iterator[IO[bytes]]:
        """A member as a stream; what goes wrong with it inside of the `with` is `InvalidDataset`."""
        with _as_invalid_dataset(f"{shown(name)} is broken"), self._archive.open(self._infos[name]) as stream:
            yield stream


@contextmanager
def open_archive(path: Path, max_unpacked_bytes: int) -> Iterator[Archive]:
    """Open the zip archive at `path` and check everything that its directory says.

    Raises `InvalidDataset` for what is no zip archive or a broken one, for encrypted members, links, names that lead
    out of the archive or are there twice, and unusual compression; `ArchiveTooLarge` for too many members, too many
    bytes, and bombs.
    """
    with _BoundedReader(FileIO(path)) as file:
        if file.read(4) not in MAGICS:
            raise InvalidDataset("the file is neither a .zip nor an .npz archive")
        with _as_invalid_dataset("the archive is broken or cut short"):
            archive = zipfile.ZipFile(file)
        with archive:
            yield Archive(archive, _checked(archive.infolist(), path.stat().st_size, max_unpacked_bytes))


def shown(name: str) -> str:
    """A member's name, quoted, with what cannot be printed escaped, and cut."""
    return repr(name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}...")


class _BoundedReader(BufferedReader):
    """Refuses to read much at once, which zipfile does to have the whole directory, before it looks at any of it."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise ArchiveTooLarge(
                f"the archive's directory has {size} bytes, more than the {MAX_DIRECTORY_BYTES} that are read"
            )
        return super().read(size)


def _checked(infos: list[zipfile.ZipInfo], packed: int, max_unpacked_bytes: int) -> dict[str, zipfile.ZipInfo]:
    if len(infos) > MAX_MEMBERS:
        raise ArchiveTooLarge(f"the archive has {len(infos)} members, more than the {MAX_MEMBERS} that are taken")
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
            raise ArchiveTooLarge(f"at {shown(name)} the archive unpacks to more than {max_unpacked_bytes} bytes")
        found[name] = info
    if _is_bomb(unpacked, packed):  # members may lie over each other
        raise ArchiveTooLarge(f"the archive unpacks to more than {MAX_RATIO} times its size")
    return found


def _check_name(name: str) -> None:
    parts = name.removesuffix("/").split("/")
    if "\0" in name or "\\" in name or _DRIVE.match(name) or not {"", ".", ".."}.isdisjoint(parts):
        raise InvalidDataset(
            f"{shown(name)} is no name for a member: names are relative, with '/', and without '..', drives or NUL"
        )


def _check_kind(name: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise InvalidDataset(f"{shown(name)} is encrypted")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InvalidDataset(f"{shown(name)} is a link or a special file")
    if info.compress_type not in _METHODS:
        raise InvalidDataset(f"{shown(name)} is packed in another way than 'stored' and 'deflated'")


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
    except Exception as problem:  # zipfile lets a broken archive fail in many ways
        raise InvalidDataset(message) from problem
