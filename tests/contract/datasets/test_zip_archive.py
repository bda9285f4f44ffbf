"""Zip archives from strangers: what is refused, and why."""

import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from contract.datasets import zip_archive
from contract.errors import ArchiveTooLarge
from tests.contract.datasets.archives import IMAGES, image, packed, refused


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    for content in (b"", b"PK", b"no archive at all", image()):
        path.write_bytes(content)
        assert "neither a .zip nor an .npz" in refused(path)


def test_an_archive_cut_short_anywhere(tmp_path: Path) -> None:
    whole = packed(tmp_path / "whole.zip", IMAGES).read_bytes()
    path = tmp_path / "pets.zip"
    for cut in range(4, len(whole), 97):
        path.write_bytes(whole[:cut])
        assert "broken or incomplete" in refused(path)


def test_an_empty_archive(tmp_path: Path) -> None:
    assert "empty" in refused(packed(tmp_path / "none.zip", {"cat/": b"", ".hidden/x": b""}))
    assert "empty" in refused(packed(tmp_path / "none.zip", {}))


def test_a_flipped_bit_in_any_member_names_it(tmp_path: Path) -> None:
    path = packed(tmp_path / "pets.zip", IMAGES, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT", data.index(b"dog/1.png")) + 20] ^= 1
    path.write_bytes(data)

    assert "'dog/1.png' is broken" in refused(path)


@pytest.mark.parametrize(
    "name",
    ["../x.png", "cat/../../x.png", "/etc/x.png", "cat//x.png", "C:/x.png", "c:x.png", "cat\\x.png", "./cat/x.png"],
)
def test_names_that_lead_out_of_the_archive(tmp_path: Path, name: str) -> None:
    assert f"{name!r} is not a valid member name" in refused(packed(tmp_path / "bad.zip", IMAGES | {name: image()}))


def test_a_name_with_nul(tmp_path: Path) -> None:
    path = packed(tmp_path / "bad.zip", IMAGES | {"cat/x.png?.exe": image()})
    path.write_bytes(path.read_bytes().replace(b"x.png?.exe", b"x.png\0.exe"))

    assert r"'cat/x.png\x00.exe' is not a valid member name" in refused(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_special_files(tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("cat/link.png")
    info.external_attr = (kind | 0o777) << 16
    path = packed(tmp_path / "bad.zip", IMAGES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, "/etc/passwd")

    assert "'cat/link.png' is a link" in refused(path)


def patched(path: Path, member: bytes, offset: int, value: bytes) -> Path:
    """Change the entry of `member` in the archive's directory, `offset` bytes after its start."""
    data = bytearray(path.read_bytes())
    at = data.rindex(member) - 46 + offset
    data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_encrypted_members(tmp_path: Path, flag: int) -> None:
    path = patched(packed(tmp_path / "bad.zip", IMAGES), b"dog/0.png", 8, struct.pack("<H", flag))

    assert "'dog/0.png' is encrypted" in refused(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(tmp_path: Path, method: int) -> None:
    assert "'cat/0.png' is compressed by a method other than" in refused(packed(tmp_path / "bad.zip", IMAGES, method))


def test_two_members_of_one_name(tmp_path: Path) -> None:
    path = packed(tmp_path / "bad.zip", IMAGES)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("cat/1.png", image(7))

    assert "'cat/1.png' is in the archive twice" in refused(path)


def test_a_bomb_by_the_ratio_of_one_member(tmp_path: Path) -> None:
    path = packed(tmp_path / "bomb.zip", IMAGES | {"cat/bomb.bmp": bytes(20_000_000)})

    assert "'cat/bomb.bmp' unpacks to more than 200 times" in refused(path, ArchiveTooLarge)


def test_a_bomb_of_many_small_members(tmp_path: Path) -> None:
    path = packed(tmp_path / "bomb.zip", {f"{index % 2}/{index}.bmp": bytes(5_000_000) for index in range(5)})

    assert "the archive unpacks to more than 200 times its size" in refused(path, ArchiveTooLarge)


def test_a_bomb_of_members_that_lie_over_each_other(tmp_path: Path) -> None:
    """One packed member, which the directory lists again and again."""
    member = b"a/" + b"0" * 8
    packed(path := tmp_path / "bomb.zip", {member.decode(): np.random.default_rng(0).bytes(100_000) + bytes(6_000_000)})
    data = path.read_bytes()
    start = data.index(b"PK\1\2")
    entry = data[start : data.index(b"PK\5\6")]
    entries = b"".join(entry.replace(member, f"a/{index:08}".encode()) for index in range(100))
    path.write_bytes(
        data[:start] + entries + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 100, 100, len(entries), start, 0)
    )

    assert "the archive unpacks to more than 200 times its size" in refused(
        path, ArchiveTooLarge, max_unpacked_bytes=10**9
    )


def test_an_archive_that_unpacks_to_too_much(tmp_path: Path) -> None:
    path = packed(tmp_path / "large.zip", IMAGES)

    assert "up to 'dog/2.png' unpack to more than" in refused(
        path, ArchiveTooLarge, max_unpacked_bytes=sum(map(len, IMAGES.values())) - 1
    )


def test_a_member_that_is_too_large(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(1_000_000)
    path = packed(tmp_path / "large.zip", IMAGES | {"cat/large.png": noise * 68})

    assert "'cat/large.png' has 68000000 bytes; the limit is" in refused(path, ArchiveTooLarge)


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_archive, "MAX_MEMBERS", 5)

    assert "6 members; the limit is 5" in refused(packed(tmp_path / "many.zip", IMAGES), ArchiveTooLarge)


def test_a_directory_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    path = packed(tmp_path / "many.zip", IMAGES)
    data = path.read_bytes()
    start = data.index(b"PK\1\2")
    entry = data[start : data.index(b"PK\1\2", start + 1)]
    count = zip_archive.MAX_DIRECTORY_BYTES // len(entry) + 1
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, count * len(entry), start, 0)
    path.write_bytes(data[:start] + entry * count + end)

    assert "the archive's directory has" in refused(path, ArchiveTooLarge)


def test_a_size_that_lies_cannot_unpack_to_more(tmp_path: Path) -> None:
    path = packed(tmp_path / "bad.zip", {"cat/0.png": bytes(10_000_000)} | IMAGES)
    patched(path, b"cat/0.png", 24, struct.pack("<I", 1000))

    assert "'cat/0.png' is broken" in refused(path)


def test_a_size_that_promises_too_much(tmp_path: Path) -> None:
    path = patched(packed(tmp_path / "bad.zip", IMAGES), b"cat/0.png", 24, struct.pack("<I", 1_000_000))

    assert "'cat/0.png' is broken: it ends after" in refused(path)


def test_archives_in_the_archive_are_not_opened(tmp_path: Path) -> None:
    inner = packed(tmp_path / "inner.zip", IMAGES).read_bytes()

    assert "'cat/a.zip': the columns t (or timestamp), x, y and p (or polarity) are needed" in refused(
        packed(
            tmp_path / "nested.zip",
            {"cat/a.zip": inner, "cat/b.zip": inner, "dog/a.zip": inner, "dog/b.zip": inner},
        )
    )


def test_names_are_quoted_escaped_and_cut(tmp_path: Path) -> None:
    message = refused(packed(tmp_path / "bad.zip", {"cat/\n\x1b" + "x" * 500: b"?", **IMAGES}))

    assert r"'cat/\n\x1bxxx" in message
    assert len(message) < 400
