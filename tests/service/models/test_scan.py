"""What a scan of the store sees, and what it does not have to look at."""

import os
import shutil
import time
from pathlib import Path

import pytest

from contract.store import Store
from contract.store_history import StoreError
from service.models import scan
from service.models.scan import Scanner, Snapshot, StoreLost
from service.models.version import fingerprint

NAME = "tiny-image"


class Counted(Store):
    """A store that counts how often the folder of a model is read."""

    reads = 0

    def checkpoints(self, name: str) -> dict[int, Path]:
        self.reads += 1
        return super().checkpoints(name)


def age(root: Path) -> None:
    """Let the last change of the store be an hour ago."""
    for path in (root, *root.glob("*"), *root.glob("*/default.json")):
        os.utime(path, (time.time() - 3600,) * 2)


@pytest.fixture
def settled(store_root: Path) -> tuple[Scanner, Counted]:
    """A scanner that has seen a store in which nothing has changed for an hour."""
    age(store_root)
    store = Counted(store_root)
    scanner = Scanner(store)
    assert scanner.scan({}).keys() == {"tiny-direct", "tiny-events", "tiny-image"}
    store.reads = 0
    return scanner, store


def seen(scanner: Scanner, failed: scan.Failed | None = None) -> Snapshot:
    """How the model is, if it is all that has changed."""
    found = scanner.scan(failed or {})
    snapshot = found.get(NAME)
    assert found.keys() == {NAME}
    assert isinstance(snapshot, Snapshot)
    return snapshot


def test_nothing_is_read_where_nothing_has_changed(settled: tuple[Scanner, Counted]) -> None:
    scanner, store = settled
    assert scanner.scan({}) == {}
    assert store.reads == 0


def test_versions_that_come_and_go_are_seen(settled: tuple[Scanner, Counted]) -> None:
    scanner, store = settled
    folder = store.root / NAME
    shutil.copytree(folder / "1", folder / "7")
    snapshot = seen(scanner)
    assert snapshot.fingerprints.keys() == {1, 2, 7}
    assert snapshot.cards.keys() == {7}
    shutil.rmtree(folder / "7")
    assert seen(scanner).fingerprints.keys() == {1, 2}
    folder.rename(folder.with_name("renamed"))
    found = scanner.scan({})
    assert found[NAME] is None
    assert found.keys() == {NAME, "renamed"}


def test_a_pointer_that_changes_is_seen_even_where_it_is_written_in_place(settled: tuple[Scanner, Counted]) -> None:
    scanner, store = settled
    store.set_default(NAME, 2, present=1)
    pointer = seen(scanner).pointer
    assert not isinstance(pointer, StoreError)
    assert pointer.version == 2
    age(store.root)
    assert scanner.scan({}) == {}
    (store.root / NAME / "default.json").write_text("{")
    os.utime(store.root / NAME, (time.time() - 3600,) * 2)
    assert isinstance(seen(scanner).pointer, StoreError)
    assert scanner.scan({}) == {}


def test_a_change_in_the_same_instant_as_a_scan_is_seen_by_the_next(settled: tuple[Scanner, Counted]) -> None:
    scanner, store = settled
    folder = store.root / NAME
    shutil.copytree(folder / "1", folder / "3")
    instant = folder.stat().st_mtime_ns
    assert seen(scanner).fingerprints.keys() == {1, 2, 3}
    shutil.copytree(folder / "1", folder / "4")
    os.utime(folder, ns=(instant, instant))
    assert seen(scanner).fingerprints.keys() == {1, 2, 3, 4}


def test_a_change_that_the_file_system_hides_is_seen_within_a_minute(
    settled: tuple[Scanner, Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner, store = settled
    folder = store.root / NAME
    times = folder.stat()
    shutil.copytree(folder / "1", folder / "3")
    os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert scanner.scan({}) == {}
    monkeypatch.setattr(scan, "_EVERYTHING_SECONDS", 0)
    assert seen(scanner).fingerprints.keys() == {1, 2, 3}
    assert scanner.scan({}) == {}


def test_a_checkpoint_that_failed_is_seen_when_it_changes(settled: tuple[Scanner, Counted]) -> None:
    scanner, store = settled
    path = store.checkpoint_path(NAME, 2)
    failed = {(NAME, 2): fingerprint(path)}
    assert scanner.scan(failed) == {}
    path.write_bytes(path.read_bytes())
    assert seen(scanner, failed).cards.keys() == {2}
    failed = {(NAME, 2): None}
    assert seen(scanner, failed).fingerprints[2] == fingerprint(path)


def test_a_card_is_read_once_its_checkpoint_is_whole(settled: tuple[Scanner, Counted]) -> None:
    scanner, store = settled
    whole = store.checkpoint_path(NAME, 1).read_bytes()
    folder = store.root / NAME / "3"
    folder.mkdir()
    assert seen(scanner).fingerprints[3] is None
    (folder / "model.pt").write_bytes(whole[:1000])
    assert seen(scanner).cards == {}
    (folder / "model.pt").write_bytes(whole)
    assert seen(scanner).cards.keys() == {3}
    assert scanner.scan({}) == {}


def test_an_empty_folder_in_the_place_of_the_store_is_not_the_store(settled: tuple[Scanner, Counted]) -> None:
    scanner, store = settled
    away = store.root.with_name("away")
    store.root.rename(away)
    with pytest.raises(StoreLost, match="does not exist"):
        scanner.scan({})
    store.root.mkdir()
    for name in (None, NAME):
        with pytest.raises(StoreLost, match="an empty one is in its place") as lost:
            scanner.scan({}, name)
        assert str(store.root) in lost.value.detail
        assert str(store.root) not in str(lost.value)
    store.root.rmdir()
    away.rename(store.root)
    assert scanner.scan({}) == {}


def test_one_folder_of_several_is_missed_only_if_it_had_models(store_root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    scanner = Scanner(Store(mine, store_root))
    assert scanner.scan({}).keys() == {"tiny-direct", "tiny-events", "tiny-image"}
    mine.rmdir()
    assert scanner.scan({}) == {}
    store_root.rename(tmp_path / "away")
    mine.mkdir()
    with pytest.raises(StoreLost, match="a folder of the model store has disappeared"):
        scanner.scan({})


def test_where_every_model_is_deleted_by_hand_the_store_is_empty(settled: tuple[Scanner, Counted]) -> None:
    scanner, store = settled
    for folder in store.root.iterdir():
        shutil.rmtree(folder)
    assert scanner.scan({}) == {"tiny-direct": None, "tiny-events": None, "tiny-image": None}
    assert scanner.scan({}) == {}
    store.root.rename(store.root.with_name("away"))
    store.root.mkdir()
    assert scanner.scan({}) == {}


def test_a_model_that_cannot_be_read_harms_no_other(settled: tuple[Scanner, Counted]) -> None:
    scanner, store = settled
    (store.root / "circle").symlink_to("circle")
    for _ in range(2):
        [(name, error)] = scanner.scan({}).items()
        assert name == "circle"
        assert isinstance(error, StoreError)
        assert "cannot be read" in error.message


def test_a_store_that_cannot_be_read_raises_the_error_of_the_disk(settled: tuple[Scanner, Counted]) -> None:
    scanner, store = settled
    store.root.rename(store.root.with_name("away"))
    store.root.symlink_to(store.root)
    with pytest.raises(OSError, match="symbolic links"):
        scanner.scan({})
