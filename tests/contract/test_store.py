"""The store's rules, with real files and, where it matters, real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import (
    DefaultChanged,
    InvalidParameter,
    ModelNotFound,
    VersionInUse,
    VersionNotFound,
    VersionReadOnly,
)
from contract.store import Store, default_version
from contract.store_history import Pointer, StoreError

PUBLISH_FIVE = """
import sys
from pathlib import Path
from contract.store import Store
store = Store(Path(sys.argv[1]))
for _ in range(5):
    number = store.publish("digits", lambda folder: (folder / "model.pt").write_text(sys.argv[2]) and None)
    print(number)
"""

PUBLISH_AND_PROMOTE = """
import sys
from pathlib import Path
from contract.store import Store
store = Store(Path(sys.argv[1]))
for turn in range(20):
    store.publish("digits", lambda folder: (folder / "model.pt").write_text("x" * 10_000) and None)
    store.set_default("digits", turn % 2 + 1, present=1)
"""

PUBLISH_AND_HANG = """
import sys, time
from pathlib import Path
from contract.store import Store
def write(folder):
    (folder / "model.pt").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
Store(Path(sys.argv[1])).publish("digits", write)
"""


def checkpoint(content: str = "weights") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "model.pt").write_text(content)

    return write


def python(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Another process that runs `code`, its output in a pipe."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def history(store: Store, name: str) -> list[tuple[str, int, int | None]]:
    lines = (store.root / name / "history.jsonl").read_text().splitlines()
    return [(entry["action"], entry["version"], entry["previous"]) for entry in map(json.loads, lines)]


def test_a_store_that_does_not_exist_is_empty(store: Store) -> None:
    assert store.names() == []
    assert store.versions("digits") == []
    assert store.pointer("digits") == Pointer()


def test_published_versions_are_numbered_from_one(store: Store) -> None:
    assert [store.publish("digits", checkpoint(str(i))) for i in range(3)] == [1, 2, 3]
    assert store.names() == ["digits"]
    assert store.versions("digits") == [1, 2, 3]
    assert store.checkpoint_path("digits", 2).read_text() == "1"
    assert store.pointer("digits") == Pointer(version=None, previous=None, highest=3)
    assert history(store, "digits") == [("publish", 1, None), ("publish", 2, None), ("publish", 3, None)]


def test_a_published_folder_has_the_permissions_of_any_other_folder(store: Store, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    store.publish("digits", checkpoint())
    assert (store.root / "digits" / "1").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_entries_that_are_not_versions_are_ignored(store: Store) -> None:
    store.publish("digits", checkpoint())
    for entry in ["0", "01", "-1", "1.5", "٣", ".2", "latest", "1 ", "9999999999"]:
        (store.root / "digits" / entry).mkdir()
    (store.root / "digits" / "4").write_text("a file")
    (store.root / ".cache" / "1").mkdir(parents=True)
    (store.root / "Upper" / "1").mkdir(parents=True)
    (store.root / "README.md").write_text("a file")
    (store.root / "empty").mkdir()
    assert store.names() == ["digits"]
    assert store.versions("digits") == [1]


@given(name=st.text())
def test_a_name_is_never_taken_as_a_path(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp() / "named"
    (root / "1").mkdir(parents=True, exist_ok=True)
    store = Store(root / "models")
    assert store.versions(name) == []
    assert store.pointer(name) == Pointer()


@pytest.mark.parametrize("name", ["..", "../models", ".", "", "/etc", "Digits", "digits\n", "a/b", "x" * 65])
def test_publishing_under_an_impossible_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidParameter, match="is not a model name"):
        store.publish(name, checkpoint())
    assert not store.root.exists()


def test_links_out_of_the_store_are_ignored(store: Store, tmp_path: Path) -> None:
    outside = Store(tmp_path / "outside")
    outside.publish("digits", checkpoint())
    store.publish("digits", checkpoint())
    (store.root / "linked").symlink_to(outside.root / "digits")
    (store.root / "digits" / "2").symlink_to(outside.root / "digits" / "1")
    (store.root / "digits" / "3").mkdir()
    (store.root / "digits" / "3" / "model.pt").symlink_to(outside.root / "digits" / "1" / "model.pt")
    (store.root / "digits" / "4").symlink_to("4")
    assert store.names() == ["digits"]
    assert store.versions("digits") == [1]
    with pytest.raises(StoreError, match="link out of the store"):
        store.publish("linked", checkpoint())
    assert store.publish("digits", checkpoint()) == 5
    assert outside.versions("digits") == [1]


def test_a_link_inside_the_store_is_a_version_and_its_deletion_spares_the_target(store: Store) -> None:
    store.publish("digits", checkpoint("one"))
    (store.root / "digits" / "2").symlink_to("1")
    assert store.versions("digits") == [1, 2]
    store.delete("digits", 2)
    assert store.versions("digits") == [1]
    assert store.checkpoint_path("digits", 1).read_text() == "one"


def test_a_store_reached_through_a_link_works(store: Store, tmp_path: Path) -> None:
    store.publish("digits", checkpoint())
    (tmp_path / "link").symlink_to(store.root)
    linked = Store(tmp_path / "link")
    assert linked.publish("digits", checkpoint()) == 2
    assert store.versions("digits") == [1, 2]


def test_a_failing_writer_leaves_nothing(store: Store) -> None:
    def fail(folder: Path) -> None:
        (folder / "model.pt").write_text("half")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        store.publish("digits", fail)
    assert list((store.root / "digits").iterdir()) == []
    assert store.names() == []


def test_concurrent_publishers_each_get_their_own_number(store: Store) -> None:
    store.root.mkdir()
    children = [python(PUBLISH_FIVE, store.root, str(i)) for i in range(3)]
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    numbers = {int(line): str(i) for i, output in enumerate(outputs) for line in output.split()}
    assert sorted(numbers) == list(range(1, 16))
    assert store.versions("digits") == list(range(1, 16))
    assert all(store.checkpoint_path("digits", number).read_text() == writer for number, writer in numbers.items())


def test_a_publisher_killed_in_the_middle_leaves_nothing_visible(store: Store) -> None:
    store.root.mkdir()
    child = python(PUBLISH_AND_HANG, store.root)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "writing\n"
        child.send_signal(signal.SIGKILL)
        assert child.wait(timeout=10) == -signal.SIGKILL
    assert store.names() == []
    assert store.publish("digits", checkpoint()) == 1
    assert store.versions("digits") == [1]


def test_what_a_killed_publisher_left_is_removed_after_a_day_and_not_before(store: Store) -> None:
    store.publish("digits", checkpoint())
    old, fresh = store.root / "digits" / ".publish-old", store.root / "digits" / ".publish-fresh"
    for folder in (old, fresh):
        folder.mkdir()
        (folder / "model.pt").write_text("half")
    os.utime(old, (time.time() - 90_000, time.time() - 90_000))
    (store.root / "digits" / ".deleted-9-x").mkdir()
    store.publish("digits", checkpoint())
    assert not old.exists()
    assert fresh.exists()
    assert not (store.root / "digits" / ".deleted-9-x").exists()


def test_the_number_of_a_deleted_version_is_not_given_out_again(store: Store) -> None:
    for _ in range(3):
        store.publish("digits", checkpoint())
    store.delete("digits", 3)
    store.delete("digits", 2)
    assert store.versions("digits") == [1]
    assert store.publish("digits", checkpoint()) == 4
    assert history(store, "digits")[3:] == [("delete", 3, None), ("delete", 2, None), ("publish", 4, None)]
    hidden = {entry.name for entry in (store.root / "digits").iterdir() if entry.name.startswith(".")}
    assert hidden <= {".lock"}


def test_versions_placed_by_hand_count_when_numbers_are_given_out(store: Store) -> None:
    (store.root / "digits" / "7").mkdir(parents=True)
    (store.root / "digits" / "8").write_text("a file in the way")
    (store.root / "digits" / "9").mkdir()
    (store.root / "digits" / "9" / "notes.txt").write_text("a folder in the way")
    assert store.publish("digits", checkpoint()) == 10
    store.delete("digits", 9)
    store.delete("digits", 10)
    assert store.publish("digits", checkpoint()) == 11


def test_a_promotion_is_remembered_with_the_version_before(store: Store) -> None:
    for _ in range(3):
        store.publish("digits", checkpoint())
    assert store.set_default("digits", 2, present=1) == 1
    assert store.pointer("digits") == Pointer(version=2, previous=1, highest=3)
    assert store.set_default("digits", 3, expected=2, present=1) == 2
    assert store.pointer("digits") == Pointer(version=3, previous=2, highest=3)
    assert history(store, "digits")[3:] == [("promote", 2, 1), ("promote", 3, 2)]


def test_promoting_the_default_again_keeps_the_version_before(store: Store) -> None:
    for _ in range(2):
        store.publish("digits", checkpoint())
    store.set_default("digits", 2, present=1)
    assert store.set_default("digits", 2, present=1) == 2
    assert store.pointer("digits") == Pointer(version=2, previous=1, highest=2)
    assert history(store, "digits")[2:] == [("promote", 2, 1)]


def test_the_default_without_a_pointer_can_be_pinned(store: Store) -> None:
    store.publish("digits", checkpoint())
    assert store.set_default("digits", 1, present=1) == 1
    assert store.pointer("digits") == Pointer(version=1, previous=None, highest=1)


def test_a_promotion_that_expects_another_default_changes_nothing(store: Store) -> None:
    for _ in range(3):
        store.publish("digits", checkpoint())
    store.set_default("digits", 2, present=1)
    with pytest.raises(DefaultChanged, match="is 2, not 1"):
        store.set_default("digits", 3, expected=1, present=1)
    assert store.pointer("digits") == Pointer(version=2, previous=1, highest=3)


def test_a_pointer_to_a_version_that_is_gone_counts_as_none(store: Store) -> None:
    for _ in range(2):
        store.publish("digits", checkpoint())
    (store.root / "digits" / "default.json").write_text('{"version": 9, "previous": null, "highest": 9}')
    assert store.set_default("digits", 2, expected=1, present=1) == 1
    assert store.pointer("digits") == Pointer(version=2, previous=1, highest=9)


def test_what_does_not_exist_cannot_be_promoted_or_deleted(store: Store) -> None:
    store.publish("digits", checkpoint())
    with pytest.raises(VersionNotFound, match="no version 2"):
        store.set_default("digits", 2, present=1)
    with pytest.raises(VersionNotFound, match="no version 2"):
        store.delete("digits", 2)
    for name in ["letters", "../models/digits", ""]:
        with pytest.raises(ModelNotFound):
            store.set_default(name, 1, present=1)
        with pytest.raises(ModelNotFound):
            store.delete(name, 1)


def test_the_version_that_the_pointer_names_cannot_be_deleted(store: Store) -> None:
    for _ in range(2):
        store.publish("digits", checkpoint())
    store.set_default("digits", 2, present=1)
    with pytest.raises(VersionInUse):
        store.delete("digits", 2)
    assert store.versions("digits") == [1, 2]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"version": "2"}', '{"version": 0}', '{"version": 1.5}', '{"highest": -1}', '{"vresion": 2}'],
)
def test_a_damaged_pointer_is_an_error_and_is_not_overwritten(store: Store, text: str) -> None:
    store.publish("digits", checkpoint())
    pointer = store.root / "digits" / "default.json"
    pointer.write_text(text)
    written: list[Path] = []
    for action in (
        lambda: store.pointer("digits"),
        lambda: store.set_default("digits", 1, present=1),
        lambda: store.publish("digits", written.append),
        lambda: store.delete("digits", 1),
    ):
        with pytest.raises(StoreError, match=r"default\.json of model 'digits' is not valid") as caught:
            action()
        assert str(store.root) not in str(caught.value)
    assert written == []  # refused before the work of writing, not after it
    assert pointer.read_text() == text
    assert store.versions("digits") == [1]


def test_a_store_that_cannot_be_written_says_so_without_a_path(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the store should be")
    with pytest.raises(StoreError, match="cannot be written for model 'digits'") as caught:
        Store(tmp_path / "models").publish("digits", checkpoint())
    assert str(tmp_path) not in str(caught.value)


def test_a_reader_never_sees_half_a_pointer_or_version(store: Store) -> None:
    for _ in range(2):
        store.publish("digits", checkpoint("x" * 10_000))
    store.set_default("digits", 1, present=1)
    seen = set()
    with python(PUBLISH_AND_PROMOTE, store.root) as child:
        while child.poll() is None:
            pointer = store.pointer("digits")
            seen.add(pointer.version)
            for number in store.versions("digits"):
                assert store.checkpoint_path("digits", number).stat().st_size == 10_000
    assert child.returncode == 0
    assert seen == {1, 2}
    assert store.versions("digits") == list(range(1, 23))


def test_a_torn_line_of_the_history_costs_no_other(store: Store) -> None:
    store.publish("digits", checkpoint())
    history = store.root / "digits" / "history.jsonl"
    history.write_text(history.read_text() + '{"at": 17')

    store.publish("digits", checkpoint())
    store.set_default("digits", 2, present=1)

    assert [(change.action, change.version) for change in store.history("digits")] == [
        ("publish", 1),
        ("publish", 2),
        ("promote", 2),
    ]


def test_a_long_history_is_read_only_as_far_as_it_is_wanted(store: Store) -> None:
    store.publish("digits", checkpoint())
    store.publish("digits", checkpoint())
    path = store.root / "digits" / "history.jsonl"
    line = b'{"at":1.5,"action":"promote","version":%d,"previous":null}\n'
    path.write_bytes(b"".join(line % (1 + number % 2) for number in range(300_000)) + path.read_bytes())
    store.set_default("digits", 1, present=2)
    begun = time.monotonic()
    for version in (2, 1) * 5:
        store.set_default("digits", version, present=3 - version)
    page, more = store.history_page("digits", None, 3)
    older, _ = store.history_page("digits", page[-1][0], 2)
    assert time.monotonic() - begun < 1
    assert [change.version for _, change in page] == [1, 2, 1]
    assert [change.version for _, change in older] == [2, 1]
    assert more


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_of_several_folders_hold_every_change_once(tmp_path: Path, size: int) -> None:
    for number, folder in enumerate("abc"):
        (tmp_path / folder / "digits" / "1").mkdir(parents=True)
        lines = [
            f'{{"at":{10 * at + number % 2},"action":"promote","version":{100 * number + at + 1},"previous":null}}\n'
            for at in range(number, 6)
        ]
        (tmp_path / folder / "digits" / "history.jsonl").write_text("not a change\n".join(lines))
    store = Store(*(tmp_path / folder for folder in "abc"))
    whole, seen, after, more = store.history("digits"), [], None, True
    while more:
        page, more = store.history_page("digits", after, size)
        seen += page
        after = page[-1][0]
    assert [change for _, change in seen] == whole[::-1]
    assert len({place for place, _ in seen}) == len(seen) == 6 + 5 + 4
    for wrong in ((), (0, 0), (0, 0, 10_000), (0, 0, 5), (3, 0, 0)):
        with pytest.raises(InvalidParameter):
            store.history_page("digits", wrong, 1)


def test_a_promotion_that_was_not_recorded_keeps_its_place_when_it_is(store: Store) -> None:
    for _ in range(2):
        store.publish("digits", checkpoint())
    store.set_default("digits", 2, present=1)
    path = store.root / "digits" / "history.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    unrecorded, before = store.history_page("digits", None, 2)[0]
    assert (unrecorded[1].action, before[1].action) == ("promote", "publish")
    store.set_default("digits", 1, present=2)
    [_, again, same] = store.history_page("digits", None, 3)[0]
    assert (again, same) == (unrecorded, before)


def test_the_history_of_nothing_is_empty(store: Store) -> None:
    for name in ("digits", "..", "../digits", ""):
        assert store.history(name) == []


@pytest.fixture
def shipped(tmp_path: Path) -> Store:
    """A folder of models that other stores only read."""
    shipped = Store(tmp_path / "shipped")
    for name in ("digits", "letters"):
        shipped.publish(name, checkpoint(f"shipped {name}"))
    return shipped


def contents(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_several_folders_are_read_as_one_and_the_first_is_written(store: Store, shipped: Store) -> None:
    both = Store(store.root, shipped.root)
    before = contents(shipped.root)
    assert both.names() == ["digits", "letters"]
    assert not store.root.exists()
    assert both.publish("digits", checkpoint("mine")) == 2
    assert both.publish("own", checkpoint("own")) == 1
    assert both.set_default("letters", 1, present=1) == 1
    assert both.models() == {
        "digits": {
            1: shipped.root / "digits" / "1" / "model.pt",
            2: store.root / "digits" / "2" / "model.pt",
        },
        "letters": {1: shipped.root / "letters" / "1" / "model.pt"},
        "own": {1: store.root / "own" / "1" / "model.pt"},
    }
    assert both.checkpoint_path("digits", 3) == store.root / "digits" / "3" / "model.pt"
    assert store.pointer("letters").version == both.pointer("letters").version == 1
    assert contents(shipped.root) == before


def test_the_first_folder_with_a_version_or_a_default_counts(store: Store, shipped: Store) -> None:
    store.publish("digits", checkpoint("mine"))
    shipped.publish("digits", checkpoint("shipped"))
    shipped.set_default("digits", 2, present=1)
    both = Store(store.root, shipped.root)
    assert both.checkpoint_path("digits", 1).read_text() == "mine"
    assert both.pointer("digits") == Pointer(version=2, previous=1, highest=2)
    assert both.set_default("digits", 1, expected=2, present=1) == 2
    assert both.pointer("digits") == store.pointer("digits") == Pointer(version=1, previous=2, highest=2)
    assert shipped.pointer("digits") == Pointer(version=2, previous=1, highest=2)


def test_publishing_does_not_take_over_the_default_of_another_folder(store: Store, shipped: Store) -> None:
    both = Store(store.root, shipped.root)
    shipped.set_default("digits", 1, present=1)
    assert both.publish("digits", checkpoint()) == 2
    shipped.publish("digits", checkpoint())
    shipped.publish("digits", checkpoint())
    shipped.set_default("digits", 3, present=1)
    assert both.pointer("digits").version == 3


def test_a_number_that_any_folder_gave_out_is_taken(store: Store, shipped: Store) -> None:
    both = Store(store.root, shipped.root)
    for _ in range(2):
        shipped.publish("digits", checkpoint())
    shipped.delete("digits", 3)
    (shipped.root / "letters" / "5").write_text("a file in the way")
    assert both.publish("digits", checkpoint()) == 4
    assert both.publish("letters", checkpoint()) == 6


def test_a_version_in_a_folder_that_is_only_read_is_not_deleted(store: Store, shipped: Store) -> None:
    both = Store(store.root, shipped.root)
    assert both.publish("digits", checkpoint()) == 2
    shutil.copytree(shipped.root / "letters" / "1", store.root / "letters" / "1")
    for name in ("digits", "letters"):  # deleting the copy of letters/1 would bring the other one out
        with pytest.raises(VersionReadOnly, match=f"version 1 of model '{name}' is in a folder that is only read"):
            both.delete(name, 1)
    both.delete("digits", 2)
    assert both.versions("digits") == [1]
    assert both.publish("digits", checkpoint()) == 3


def test_the_history_of_several_folders_is_in_the_order_of_time(store: Store, shipped: Store) -> None:
    both = Store(store.root, shipped.root)
    both.publish("digits", checkpoint())
    shipped.publish("digits", checkpoint())
    both.publish("digits", checkpoint())
    assert [(change.action, change.version) for change in both.history("digits")] == [
        ("publish", 1),
        ("publish", 2),
        ("publish", 2),
        ("publish", 3),
    ]


def test_a_store_exists_if_one_of_its_folders_does(store: Store, shipped: Store, tmp_path: Path) -> None:
    assert Store(store.root, shipped.root).exists()
    assert Store(shipped.root, store.root).exists()
    assert not Store(store.root, tmp_path / "nowhere").exists()


def test_publishers_into_one_folder_of_several_each_get_their_own_number(store: Store, shipped: Store) -> None:
    code = PUBLISH_FIVE.replace("Store(Path(sys.argv[1]))", f"Store(Path(sys.argv[1]), Path({str(shipped.root)!r}))")
    children = [python(code, store.root, str(i)) for i in range(3)]
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    assert sorted(int(line) for output in outputs for line in output.split()) == list(range(2, 17))
    assert Store(store.root, shipped.root).versions("digits") == list(range(1, 17))


@pytest.mark.parametrize(
    ("numbers", "pointer", "working", "default"),
    [
        ([1, 2, 3], Pointer(), {1, 2, 3}, 1),
        ([3, 1, 2], Pointer(), {2, 3}, 2),
        ([1, 2, 3], Pointer(version=3), {1}, 3),
        ([1, 2], Pointer(version=3), {2}, 2),
        ([1, 2], Pointer(), set(), None),
        ([], Pointer(version=1), {1}, None),
    ],
)
def test_the_default_is_the_pointers_version_or_the_lowest_that_works(
    numbers: list[int], pointer: Pointer, working: set[int], default: int | None
) -> None:
    assert default_version(numbers, pointer, working.__contains__) == default
