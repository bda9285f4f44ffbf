"""Any sequence of publishing, promoting, going back, deleting, restarting and dying keeps the store consistent."""

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contract.errors import DefaultChanged, VersionInUse, VersionNotFound, VersionReadOnly
from contract.store import Store
from contract.store_history import Action, Pointer, StoreHistory

NAME = "digits"


class Killed(BaseException):
    """The process ends here."""


class MortalHistory(StoreHistory):
    """Calls `step` before it writes, and after it has replaced the pointer."""

    def __init__(self, folder: Path, step: Callable[[], None]) -> None:
        super().__init__(folder)
        self._step = step

    def set_pointer(self, pointer: Pointer) -> None:
        self._step()
        super().set_pointer(pointer)
        self._step()

    def record(self, action: Action, version: int, previous: int | None = None) -> None:
        self._step()
        super().record(action, version, previous)


class Mortal(Store):
    """A store whose process dies before it writes for the `lives`th time."""

    def __init__(self, lives: int, *folders: Path) -> None:
        super().__init__(*folders)
        self._lives = lives

    def _step(self) -> None:
        self._lives -= 1
        if self._lives < 0:
            raise Killed

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[StoreHistory]:
        with super()._writing(name) as own:
            yield MortalHistory(own.folder, self._step)

    def _sweep(self, name: str) -> None:
        self._step()
        super()._sweep(name)


def write(folder: Path) -> None:
    (folder / "model.pt").write_text("weights")


def promotions_in(folder: Path) -> list[int]:
    changes = StoreHistory(folder / NAME).changes()
    return [change.version for change in changes if change.action == "promote"]


class Machine(RuleBasedStateMachine):
    """The store beside what it should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folders = self.all_folders()
        self.store = Store(*self.folders)
        self.given: set[int] = set()  # every number that anybody ever saw
        self.gone: set[int] = set()
        self.default: int | None = None
        self.promotions: list[int] = []

    def all_folders(self) -> list[Path]:
        return [self.root]

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @property
    def versions(self) -> list[int]:
        return self.store.versions(NAME)

    @property
    def present(self) -> int:
        """The default in force: the pointer's, else the lowest."""
        return self.default if self.default is not None else self.versions[0]

    @initialize()
    def begin(self) -> None:
        self.publish()

    @rule()
    def publish(self) -> None:
        number = self.store.publish(NAME, write)
        assert number not in self.given
        assert number > max(self.given, default=0)
        self.given.add(number)

    @rule(data=st.data(), stale=st.booleans())
    def promote(self, data: st.DataObject, stale: bool) -> None:
        number = data.draw(st.sampled_from(self.versions))
        if stale:
            with pytest.raises(DefaultChanged):
                self.store.set_default(NAME, number, expected=self.present + 1, present=self.present)
            return
        assert self.store.set_default(NAME, number, expected=self.present, present=self.present) == self.present
        self.promoted(number)

    @rule()
    def roll_back(self) -> None:
        previous = self.store.pointer(NAME).previous
        if previous is None or previous not in self.versions:
            return
        assert self.store.set_default(NAME, previous, present=self.present) == self.present
        self.promoted(previous)

    def promoted(self, number: int) -> None:
        if self.default != number:
            self.promotions.append(number)
        self.default = number

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.given)))
        if number in self.gone:
            with pytest.raises(VersionNotFound):
                self.store.delete(NAME, number)
        elif number == self.default:
            with pytest.raises(VersionInUse):
                self.store.delete(NAME, number)
        elif len(self.versions) > 1:
            self.delete_unused(number)

    def delete_unused(self, number: int) -> None:
        self.store.delete(NAME, number)
        self.gone.add(number)

    @rule()
    def restart(self) -> None:
        self.store = Store(*self.folders)

    @rule(kind=st.sampled_from([".publish-", ".deleted-1-", ".deleted-link-"]), name=st.uuids())
    def find_what_somebody_left(self, kind: str, name: Any) -> None:
        left = self.folders[0] / NAME / f"{kind}{name}"
        left.mkdir()
        write(left)

    @rule(text=st.sampled_from([b'{"at": 1', b"\xff\n", b"[]\n", b'{"at":1.0,"action":"launch","version":1}\n']))
    def tear_the_history(self, text: bytes) -> None:
        with (self.folders[0] / NAME / "history.jsonl").open("ab") as history:
            history.write(text)

    @rule(lives=st.integers(0, 4))
    def die_publishing(self, lives: int) -> None:
        before = self.versions
        with contextlib.suppress(Killed):
            Mortal(lives, *self.folders).publish(NAME, write)
        new = set(self.versions) - set(before)
        assert len(new) <= 1
        assert not new & self.given
        self.given |= new

    @rule(lives=st.integers(0, 4), data=st.data())
    def die_promoting(self, lives: int, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.versions))
        with contextlib.suppress(Killed):
            Mortal(lives, *self.folders).set_default(NAME, number, present=self.present)
        found = self.store.pointer(NAME).version
        assert found in (self.default, number)
        if found is not None:
            self.promoted(found)

    @precondition(lambda self: len(self.versions) > 1)
    @rule(lives=st.integers(0, 4), data=st.data())
    def die_deleting(self, lives: int, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([each for each in self.versions if each != self.default]))
        with contextlib.suppress(Killed, VersionReadOnly):
            Mortal(lives, *self.folders).delete(NAME, number)
        if number not in self.versions:
            self.gone.add(number)

    @invariant()
    def the_versions_are_those_published_and_not_deleted(self) -> None:
        assert set(self.versions) == self.given - self.gone
        for number in self.versions:
            assert self.store.checkpoint_path(NAME, number).read_text() == self.content(number)

    def content(self, number: int) -> str:
        return "weights"

    @invariant()
    def the_default_is_the_last_promoted_and_exists(self) -> None:
        assert self.store.pointer(NAME).version == self.default
        if self.given:
            assert self.present in self.versions

    @invariant()
    def the_history_tells_what_happened(self) -> None:
        changes = self.store.history(NAME)
        assert promotions_in(self.folders[0]) == self.promotions
        assert {change.version for change in changes if change.action == "delete"} <= self.gone
        published = [change.version for change in changes if change.action == "publish"]
        assert published == sorted(set(published))
        assert set(published) <= self.given
        self.check_previous(StoreHistory(self.folders[0] / NAME))

    def check_previous(self, own: StoreHistory) -> None:
        before = [change.previous for change in own.changes() if change.action == "promote"][1:]
        assert before == self.promotions[:-1]


class TwoFolders(Machine):
    """The same with a second folder that the store only reads, and that somebody else fills."""

    def __init__(self) -> None:
        super().__init__()
        self.shipped: set[int] = set()  # the numbers in the second folder
        self.hidden: set[int] = set()  # those of them that the first folder has as well
        self.shipped_promotions: list[int] = []

    def all_folders(self) -> list[Path]:
        return [self.root / "written", self.root / "shipped"]

    def ship(self, number: int) -> None:
        folder = self.folders[1] / NAME / str(number)
        folder.mkdir(parents=True)
        (folder / "model.pt").write_text("shipped")
        self.shipped.add(number)

    @initialize()
    def begin(self) -> None:
        self.ship(1)
        self.given.add(1)
        self.publish()

    @rule(further=st.integers(1, 3))
    def ship_a_new_version(self, further: int) -> None:
        number = max(self.given) + further
        self.ship(number)
        self.given.add(number)

    @rule(data=st.data())
    def ship_a_number_that_is_taken(self, data: st.DataObject) -> None:
        free = sorted(self.given - self.gone - self.shipped)
        if free:
            number = data.draw(st.sampled_from(free))
            self.ship(number)
            self.hidden.add(number)

    @rule(data=st.data())
    def promote_in_the_second_folder(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.shipped)))
        Store(self.folders[1]).set_default(NAME, number, present=min(self.shipped))
        if self.shipped_promotions[-1:] != [number]:
            self.shipped_promotions.append(number)
        if not self.promotions:
            self.default = number

    def delete_unused(self, number: int) -> None:
        if number in self.shipped:
            with pytest.raises(VersionReadOnly, match="only read"):
                self.store.delete(NAME, number)
        else:
            super().delete_unused(number)

    def content(self, number: int) -> str:
        return "shipped" if number in self.shipped - self.hidden else "weights"

    def check_previous(self, own: StoreHistory) -> None:
        if not self.shipped_promotions:
            super().check_previous(own)

    @invariant()
    def the_second_folder_is_only_read(self) -> None:
        assert {int(entry.name) for entry in (self.folders[1] / NAME).glob("[1-9]*")} == self.shipped
        assert promotions_in(self.folders[1]) == self.shipped_promotions

    @invariant()
    def the_history_is_that_of_both_folders(self) -> None:
        promotions = Counter(each.version for each in self.store.history(NAME) if each.action == "promote")
        assert promotions == Counter(self.promotions) + Counter(self.shipped_promotions)


LONG = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
TestStore = Machine.TestCase
TestStore.settings = LONG
TestStoreOfTwoFolders = TwoFolders.TestCase
TestStoreOfTwoFolders.settings = LONG
