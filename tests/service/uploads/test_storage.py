import fcntl
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from contract.datasets.inspect import Summary
from contract.errors import FileNotFound, InsufficientStorage
from tests.disk import small_disk
from tests.service.uploads.contents import DATASET, put, uploads_in
from tests.service.uploads.killed import UNHARMED

ROOT = Path(__file__).parents[3]


def files(root: Path) -> set[str]:
    """Everything that is there but the lock."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_an_upload_is_kept_by_its_content_and_found_again(tmp_path: Path) -> None:
    before = time.time()
    upload = put(uploads_in(tmp_path), b"x" * 3_000_000)
    digest = hashlib.sha256(b"x" * 3_000_000).hexdigest()

    assert (upload.bytes, upload.sha256, upload.filename, upload.dataset) == (3_000_000, digest, "set.zip", DATASET)
    assert before <= upload.created_at <= time.time()
    assert upload.id.startswith("file-")
    assert len(upload.id) == len("file-") + 24
    again = uploads_in(tmp_path)
    assert again.get(upload.id) == upload
    assert again.all() == [upload]
    assert again.content_path(upload).read_bytes() == b"x" * 3_000_000
    assert files(tmp_path) == {f"files/{digest}", f"uploads/{upload.id}.json"}


def test_the_newest_comes_first(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path)
    assert uploads.all() == []
    given = [put(uploads, bytes([index])) for index in range(5)]

    assert uploads.all() == given[::-1]


def test_uploads_take_no_more_space_than_they_may_whoever_writes_them(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path, 10_000)
    uploads.check_room(10_000)
    with pytest.raises(InsufficientStorage, match="0 of the 10000 bytes"):
        uploads.check_room(10_001)
    first = put(uploads, bytes(6_000))
    other = uploads_in(tmp_path, 10_000)
    with pytest.raises(InsufficientStorage, match="6000 of the 10000 bytes"):
        other.check_room(4_001)

    incoming = other.receive()  # whose length is not known before
    incoming.write(bytes(4_000))
    with pytest.raises(InsufficientStorage):
        incoming.write(b"x")
    uploads.delete(first.id)
    incoming.write(b"x")  # there is room again
    incoming.discard()
    uploads.check_room(10_000)


def test_no_more_than_a_number_of_files_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.uploads.storage.MAX_FILES", 2)
    uploads = uploads_in(tmp_path)
    put(uploads)
    uploads.check_room(1)
    put(uploads)
    with pytest.raises(InsufficientStorage, match="2 files"):
        uploads.check_room(1)


def of_classes(count: int) -> Summary:
    return Summary(kind="image", samples=2 * count, classes={f"class {n:05}": 2 for n in range(count)})


def test_lists_keep_some_classes_of_an_upload_and_their_number(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path)
    upload = put(uploads, dataset=of_classes(1000))

    [listed] = uploads.all()
    assert (listed.id, listed.class_count) == (upload.id, 1000)
    assert listed.dataset.classes == {f"class {n:05}": 2 for n in range(10)}
    assert uploads.get(upload.id).dataset == upload.dataset


def test_an_old_upload_of_very_many_classes_is_still_read_but_not_kept_in_memory(tmp_path: Path) -> None:
    made = put(uploads_in(tmp_path))
    path = tmp_path / "uploads" / f"{made.id}.json"
    record = json.loads(path.read_text())
    assert "class_count" not in record  # as old releases wrote it
    path.write_text(json.dumps(record | {"dataset": of_classes(20_000).model_dump()}))

    found = uploads_in(tmp_path).get(made.id)

    assert (found.sha256, found.class_count, len(found.dataset.classes)) == (made.sha256, 20_000, 10)


def test_one_content_is_there_once_and_goes_with_its_last_upload(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path)
    first, second, other = put(uploads), put(uploads), put(uploads, b"other")
    assert first.id != second.id
    assert len(list((tmp_path / "files").iterdir())) == 2

    uploads.delete(first.id)
    assert uploads.content_path(second).read_bytes() == b"content"
    uploads_in(tmp_path).delete(second.id)

    assert files(tmp_path) == {f"files/{other.sha256}", f"uploads/{other.id}.json"}
    assert uploads.all() == [other]


@pytest.mark.parametrize("identity", ["file-0", "", "..", "../files/x", "/etc/passwd", "file-\0", "x" * 10_000])
def test_an_unknown_file_is_told_so(tmp_path: Path, identity: str) -> None:
    uploads = uploads_in(tmp_path)
    for _ in range(2):  # before there is anything, and beside something
        with pytest.raises(FileNotFound):
            uploads.get(identity)
        with pytest.raises(FileNotFound):
            uploads.delete(identity)
        put(uploads)


def test_a_deleted_file_is_gone_for_everybody(tmp_path: Path) -> None:
    here, there = uploads_in(tmp_path), uploads_in(tmp_path)
    upload = put(here)
    assert there.get(upload.id) == upload

    here.delete(upload.id)

    for uploads in (here, there):
        with pytest.raises(FileNotFound):
            uploads.get(upload.id)
        with pytest.raises(FileNotFound):
            uploads.delete(upload.id)


def test_what_is_not_added_is_gone(tmp_path: Path) -> None:
    incoming = uploads_in(tmp_path).receive()
    incoming.write(b"half")
    assert files(tmp_path)

    incoming.discard()

    assert files(tmp_path) == set()


def test_a_full_disk_is_told_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        uploads = uploads_in(disk)
        kept = put(uploads, bytes(400_000))
        before = files(disk)
        with pytest.raises(InsufficientStorage):
            put(uploads, os.urandom(900_000))
        assert files(disk) == before

        with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(4096))
        incoming = uploads.receive()
        with pytest.raises(InsufficientStorage):
            uploads.add(incoming, "empty.zip", DATASET)  # there is no room for what is to be said of it
        incoming.discard()
        assert files(disk) == before | {"filler"}

        (disk / "filler").unlink()
        assert uploads.all() == [kept]
        assert put(uploads, b"small").bytes == 5


def test_an_upload_that_fails_late_takes_no_content_from_others(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path)
    kept = put(uploads)
    incoming = uploads.receive()
    incoming.write(b"content")
    (tmp_path / "uploads").rename(tmp_path / "aside")
    (tmp_path / "uploads").write_text("in the way")
    try:
        with pytest.raises(Exception, match="cannot be read or written"):
            uploads.add(incoming, "set.zip", DATASET)
    finally:
        incoming.discard()
        (tmp_path / "uploads").unlink()
        (tmp_path / "aside").rename(tmp_path / "uploads")

    assert uploads.content_path(kept).read_bytes() == b"content"


def test_leftovers_are_swept_and_nothing_else(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path)
    uploads.sweep()
    assert files(tmp_path) == set()
    kept = put(uploads)
    expected = files(tmp_path)
    running = uploads.receive()
    for leftover in (
        tmp_path / "files" / ".incoming-0123",
        tmp_path / "files" / ("0" * 64),
        tmp_path / "uploads" / ".file-1.json",
        tmp_path / "uploads" / ".unfinished-file-1",
    ):
        leftover.write_bytes(b"left")

    uploads_in(tmp_path).sweep()

    assert files(tmp_path) == expected | {f"files/{running.path.name}"}
    assert uploads.all() == [kept]
    running.discard()


def test_while_an_upload_cannot_be_read_no_content_is_removed(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path)
    good, bad = put(uploads, b"good"), put(uploads, b"bad")
    (tmp_path / "uploads" / f"{bad.id}.json").write_text("{")

    again = uploads_in(tmp_path)
    again.sweep()

    assert again.all() == [good]
    assert again.content_path(bad).read_bytes() == b"bad"
    with pytest.raises(FileNotFound):
        again.get(bad.id)


@pytest.mark.parametrize("place", ["add", "delete"])
def test_a_kill_at_any_call_leaves_what_was_or_what_should_be(tmp_path: Path, place: str) -> None:
    script = [sys.executable, "-m", "tests.service.uploads.killed"]
    seen = set()
    for at in range(1, 100):
        root = tmp_path / str(at)
        done = subprocess.run([*script, str(root), place, str(at)], cwd=ROOT, check=False)
        uploads = uploads_in(root)
        uploads.sweep()
        found = {uploads.content_path(upload).read_bytes() for upload in uploads.all()}
        assert {path.read_bytes() for path in (root / "files").iterdir()} == found
        assert {path.suffix for path in (root / "uploads").iterdir()} <= {".json"}
        seen.add(frozenset(found))
        if done.returncode == UNHARMED:
            break
        assert done.returncode == -signal.SIGKILL
    assert at > 4
    assert seen == {frozenset({b"kept"}), frozenset({b"kept", b"new"} if place == "add" else set())}


def _add_and_delete(root: Path, own: bytes, rounds: int) -> None:
    uploads = uploads_in(root)
    for _ in range(rounds):
        shared, mine = put(uploads, b"shared"), put(uploads, own)
        assert uploads.content_path(shared).read_bytes() == b"shared"
        assert uploads.content_path(mine).read_bytes() == own
        uploads.delete(shared.id)
        uploads.delete(mine.id)
        uploads.sweep()


def test_processes_that_share_a_folder_do_not_harm_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_and_delete, args=(tmp_path, bytes([n]), 20)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert files(tmp_path) == set()


def test_an_upload_on_disk_is_plain_json(tmp_path: Path) -> None:
    upload = put(uploads_in(tmp_path), filename="Zahlen é.zip")
    text = json.loads((tmp_path / "uploads" / f"{upload.id}.json").read_text("utf-8"))

    assert text["filename"] == "Zahlen é.zip"
    assert text["dataset"]["classes"] == {"a": 2, "b": 2}


def test_a_file_that_another_process_is_sweeping_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.flock
    swept: list[Path] = []

    def swept_before(file: object, how: int) -> None:
        if not swept:
            swept.extend((tmp_path / "files").glob(".incoming-*"))
            swept[0].unlink()
        real(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", swept_before)
    incoming = uploads_in(tmp_path).receive()

    assert incoming.path != swept[0]
    assert incoming.path.exists()
    incoming.discard()
