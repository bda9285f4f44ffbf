"""Any sequence of publishing, promoting, going back, deleting, restarting and dying keeps the store consistent."""

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contract.errors import DefaultChanged, VersionInUse, VersionNotFound
from contract.store import Action, Pointer, Store

NAME = "digits"


class Killed(BaseException):
    """The process ends here."""


class Mortal(Store):
    """A store whose process dies before it writes for the `lives`th time."""

    def __init__(self, root: Path, lives: int) -> None:
        super().__init__(root)
        self._lives = lives

    def _step(self) -> None:
        self._lives -= 1
        if self._lives < 0:
            raise Killed

    def _write_pointer(self, name: str, pointer: Pointer) -> None:
        self._step()
        super()._write_pointer(name, pointer)
        self._step()

    def _record(self, name: str, action: Action, version: int, previous: int | None) -> None:
        self._step()
        super()._record(name, action, version, previous)

    def _sweep(self, name: str) -> None:
        self._step()
        super()._sweep(name)


def write(folder: Path) -> None:
    (folder / "model.pt").write_text("weights")


class Machine(RuleBasedStateMachine):
    """The store beside what it should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.store = Store(self.root)
        self.given: set[int] = set()  # every number that anybody ever saw
        self.gone: set[int] = set()
        self.default: int | None = None
        self.promotions: list[int] = []

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
        pointer = self.store.pointer(NAME)
        if pointer is None or pointer.previous not in self.versions:
            return
        assert pointer.previous is not None
        assert self.store.set_default(NAME, pointer.previous, present=self.present) == self.present
        self.promoted(pointer.previous)

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
            self.store.delete(NAME, number)
            self.gone.add(number)

    @rule()
    def restart(self) -> None:
        self.store = Store(self.root)

    @rule(kind=st.sampled_from([".publish-", ".deleted-1-", ".deleted-link-"]), name=st.uuids())
    def find_what_somebody_left(self, kind: str, name: Any) -> None:
        left = self.root / NAME / f"{kind}{name}"
        left.mkdir()
        write(left)

    @rule(text=st.sampled_from([b'{"at": 1', b"\xff\n", b"[]\n", b'{"at":1.0,"action":"launch","version":1}\n']))
    def tear_the_history(self, text: bytes) -> None:
        with (self.root / NAME / "history.jsonl").open("ab") as history:
            history.write(text)

    @rule(lives=st.integers(0, 4))
    def die_publishing(self, lives: int) -> None:
        before = self.versions
        with contextlib.suppress(Killed):
            Mortal(self.root, lives).publish(NAME, write)
        new = set(self.versions) - set(before)
        assert len(new) <= 1
        assert not new & self.given
        self.given |= new

    @rule(lives=st.integers(0, 4), data=st.data())
    def die_promoting(self, lives: int, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.versions))
        with contextlib.suppress(Killed):
            Mortal(self.root, lives).set_default(NAME, number, present=self.present)
        pointer = self.store.pointer(NAME)
        found = pointer.version if pointer else None
        assert found in (self.default, number)
        if found is not None:
            self.promoted(found)

    @precondition(lambda self: len(self.versions) > 1)
    @rule(lives=st.integers(0, 4), data=st.data())
    def die_deleting(self, lives: int, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([each for each in self.versions if each != self.default]))
        with contextlib.suppress(Killed):
            Mortal(self.root, lives).delete(NAME, number)
        if number not in self.versions:
            self.gone.add(number)

    @invariant()
    def the_versions_are_those_published_and_not_deleted(self) -> None:
        assert set(self.versions) == self.given - self.gone
        for number in self.versions:
            assert self.store.checkpoint_path(NAME, number).read_text() == "weights"

    @invariant()
    def the_default_is_the_last_promoted_and_exists(self) -> None:
        pointer = self.store.pointer(NAME)
        assert (pointer.version if pointer else None) == self.default
        if self.given:
            assert self.present in self.versions

    @invariant()
    def the_history_tells_what_happened(self) -> None:
        changes = self.store.history(NAME)
        assert [change.version for change in changes if change.action == "promote"] == self.promotions
        assert {change.version for change in changes if change.action == "delete"} <= self.gone
        published = [change.version for change in changes if change.action == "publish"]
        assert published == sorted(set(published))
        assert set(published) <= self.given
        before = [change.previous for change in changes if change.action == "promote"][1:]
        assert before == self.promotions[:-1]


TestStore = Machine.TestCase
TestStore.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
