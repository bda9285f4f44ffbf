"""Replacing and appending, with real processes and a real full disk."""

import os
import signal
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from contract.files import LONGEST_LINE, append_line, lines_backwards, replacing, unfinished_path
from tests.disk import small_disk

ROOT = Path(__file__).parents[2]

REPLACE_OFTEN = """
import sys
from pathlib import Path
from contract.files import replacing
for _ in range(200):
    with replacing(Path(sys.argv[1]), durable=False) as file:
        for _ in range(50):
            file.write(sys.argv[2].encode() * 100)
            file.flush()
"""

REPLACE_AND_HANG = """
import sys, time
from pathlib import Path
from contract.files import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""

APPEND_OFTEN = """
import sys
from pathlib import Path
from contract.files import append_line
for _ in range(2000):
    append_line(Path(sys.argv[1]), sys.argv[2].encode() * 1000)
"""


def python(code: str, *arguments: str | Path, stdout: int | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=stdout)


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_when_the_block_ends_and_not_before(tmp_path: Path, durable: bool) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"a longer old content")
    with replacing(target, durable=durable) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"a longer old content"
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["file"]
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_replaced_file_has_the_permissions_of_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_writer_that_seeks_is_replaced_whole(tmp_path: Path) -> None:
    with replacing(tmp_path / "set.zip") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("member", b"x" * 1000)
    with zipfile.ZipFile(tmp_path / "set.zip") as archive:
        assert archive.testzip() is None


def test_a_failing_block_leaves_the_old_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def fail() -> None:
        with replacing(target) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_keeps_the_old_file_and_gets_its_room_back(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        (disk / "file").write_bytes(b"old")
        with pytest.raises(OSError, match="No space left"), replacing(disk / "file") as file:
            file.write(bytes(2_000_000))
        assert (disk / "file").read_bytes() == b"old"
        assert list(disk.iterdir()) == [disk / "file"]


def test_what_a_killed_writer_left_is_overwritten_by_the_next(tmp_path: Path) -> None:
    child = python(REPLACE_AND_HANG, tmp_path / "file", stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"writing\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert [path.name for path in tmp_path.iterdir()] == [".file"]
    assert unfinished_path(tmp_path / "file").read_bytes() == b"half"
    with replacing(tmp_path / "file") as file:
        file.write(b"it")
    assert (tmp_path / "file").read_bytes() == b"it"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_writers_of_one_file_take_turns(tmp_path: Path) -> None:
    target = tmp_path / "file"
    children = [python(REPLACE_OFTEN, target, letter) for letter in "abc"]
    seen = set()
    while any(child.poll() is None for child in children):
        with suppress(FileNotFoundError):
            content = target.read_bytes()
            assert len(content) == 5000
            assert len(set(content)) == 1
            seen.add(content[:1])
    assert [child.wait() for child in children] == [0, 0, 0]
    assert len(seen) > 1
    assert list(tmp_path.iterdir()) == [target]


def test_lines_of_several_processes_never_mix(tmp_path: Path) -> None:
    children = [python(APPEND_OFTEN, tmp_path / "log", letter) for letter in "abc"]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    lines = (tmp_path / "log").read_bytes().splitlines()
    assert sorted(lines) == sorted([letter * 1000 for letter in (b"a", b"b", b"c")] * 2000)


def test_a_line_after_a_cut_off_one_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append_line(path, b"one")
    append_line(path, b"two")
    with path.open("ab") as file:
        file.write(b"hal")
    append_line(path, b"three")
    append_line(path, b"four")
    assert path.read_bytes() == b"one\ntwo\nhal\nthree\nfour\n"


def test_a_line_that_does_not_fit_on_the_disk_is_an_error(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        append_line(disk / "log", b"whole")
        with pytest.raises(OSError, match="No space left"):
            append_line(disk / "log", b"x" * 100_000)
        os.truncate(disk / "log", 10)
        append_line(disk / "log", b"after")
        assert (disk / "log").read_bytes() == b"whole\nxxxx\nafter\n"


@pytest.mark.parametrize("sizes", [[0], [1, 0, 2], [1000] * 300, [65_534, 65_535, 65_536, 1], [7] * 40_000])
def test_lines_are_read_from_the_end(tmp_path: Path, sizes: list[int]) -> None:
    path = tmp_path / "log"
    lines = [b"%d" % (number % 10) * size for number, size in enumerate(sizes)]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    found = list(lines_backwards(path))
    assert [line for _, line in found] == lines[::-1]
    whole = path.read_bytes()
    assert all(whole[end - len(line) - 1 : end] == line + b"\n" for end, line in found)
    with path.open("ab") as file:
        file.write(b"half a line")
    assert list(lines_backwards(path)) == found
    for end, _ in found[:: len(found) // 3 + 1]:
        assert list(lines_backwards(path, end)) == [each for each in found if each[0] <= end]


def test_a_line_that_is_too_long_is_left_out_when_lines_are_read_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for size in (LONGEST_LINE + 1, 5 * LONGEST_LINE, 100 * LONGEST_LINE):
        path.write_bytes(b"first\n" + b"x" * size + b"\nlast\n")
        assert [line for _, line in lines_backwards(path)] == [b"last", b"first"]
        path.write_bytes(b"x" * size + b"\nlast\n")
        assert [line for _, line in lines_backwards(path)] == [b"last"]
        path.write_bytes(b"first\n" + b"x" * size)
        assert [line for _, line in lines_backwards(path)] == [b"first"]
