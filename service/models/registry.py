"""Which versions the store has, which of them are loaded, and which one is each model's default.

All state belongs to the event loop and needs no locks. Scans of the store run one after another on one thread, so their
results are applied in the order of the scans. A `Loader` brings versions into memory.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from contract.card import Card
from contract.errors import ModelFailedToLoad, Unavailable, VersionInUse, VersionNotReady
from contract.group import Group
from contract.names import ModelRef
from contract.store import Store
from contract.store_history import Change, StoreError
from service.engine.device import Device
from service.engine.load import load_engine
from service.models.catalog import Catalog
from service.models.loader import Load, Loader
from service.models.preload import Preload
from service.models.scan import Scanner, Snapshot, StoreLost
from service.models.unknown import Lookups, suggestion
from service.models.version import Loaded, Model, State, Version

__all__ = ["Registry", "State", "Version"]

T = TypeVar("T")
log = logging.getLogger(__name__)


class Registry(Catalog):
    """The models of one store on one device.

    `preload` names what is loaded at start: `*` (the default version of every model, including models that appear
    later), `name` (its default version) or `name/version`; `ValueError` for anything else. The store is scanned every
    `poll_seconds`. In memory are the default versions and those of `preload`, once they are loaded, and at most
    `max_loaded_versions` others. `load` makes a checkpoint ready to run; by default it loads the network in this
    process and warms it up.
    """

    def __init__(
        self,
        store: Store,
        *,
        device: Device,
        preload: Sequence[str],
        poll_seconds: float,
        max_loaded_versions: int = 8,
        load: Load | None = None,
    ) -> None:
        super().__init__()
        self._store = store
        self._loader = Loader(self, store, device, load or load_engine, places=max_loaded_versions)
        self._preload = Preload.parse(preload)
        self._poll_seconds = poll_seconds
        self._failed: set[Version] = set()
        self._faults: dict[str, str] = {}
        self.trouble: str | None = "the model store has not been read yet"
        """Why the store cannot be read at present."""
        self._was_ready = False
        self._scanner = Scanner(store)
        self._scans: set[asyncio.Task[None]] = set()
        self._lookups = Lookups(self._begin_scan)
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._polling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Scan the store, start loading the preload set, and keep scanning."""
        await self.refresh()
        for entry in self.missing:
            near = suggestion(entry, self._names)
            log.warning("%r should be loaded at start, but the store does not have it%s", entry, near)
        self._polling = asyncio.create_task(self._poll())

    async def stop(self) -> None:
        """Stop scanning and loading."""
        if self._polling is not None:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling
        await self._loader.stop()
        await asyncio.gather(*self._scans, return_exceptions=True)
        await asyncio.to_thread(self._disk.shutdown, cancel_futures=True)

    @property
    def ready(self) -> bool:
        """Whether the store can be read and every preload version is loaded or has failed.

        A ready registry stays ready while a model that has appeared later is loading.
        """
        self._was_ready = self._was_ready or (self.trouble is None and not self.pending)
        return self._was_ready and self.trouble is None

    @property
    def pending(self) -> list[str]:
        """The preload versions that are neither loaded nor failed, as `name/version`, and the missing entries."""
        return self._preload.pending(self._models)

    @property
    def missing(self) -> list[str]:
        """The preload entries that the store does not have."""
        return self._preload.missing(self._models)

    async def find(self, name: str, number: int | None = None) -> Model:
        """The model `name`; if it or its version `number` is unknown, the store may be scanned for it first.

        Raises `ModelNotFound`, or `VersionNotFound` for a `number` that the model does not have.
        """
        model = self._models.get(name)
        if model is None or (number is not None and number not in model.versions):
            await self._lookups.look_for(name, number)
        if number is not None:
            self.version(name, number)
        return self.model(name)

    async def get(self, name: str, number: int | None, *, timeout: float | None) -> Loaded:
        """A version and its engine, the default version for `number` None; loads it on demand.

        Raises `ModelNotFound`, `VersionNotFound`, `ModelFailedToLoad`, or `Unavailable` after `timeout` seconds.
        """
        model = self._models.get(name)
        version = model and model.versions.get((model.default or 0) if number is None else number)
        if version and version.engine:
            return Loaded(version, version.engine)
        try:
            async with asyncio.timeout(timeout):
                return await self._loader.get(await self.find_version(name, number))
        except TimeoutError:
            raise Unavailable(f"model {name!r} is still loading; try again", param="name") from None

    async def load(self, name: str, number: int) -> Version:
        """Load a version, even one that failed before; `ModelFailedToLoad` if it cannot be loaded."""
        version = await self.find_version(name, number)
        if version.state == "failed":
            version.state = "available"
            self.changed(version)
        return (await self._loader.get(version)).version

    async def unload(self, name: str, number: int) -> Version:
        """Free a version's memory; it stays available. `VersionInUse` for the default and a loaded group's member."""
        version = await self.find_version(name, number)
        if version.loading:
            await asyncio.shield(version.loading)
        self._refuse_default(name, number)
        version = self.version(name, number)
        self._refuse_member(version, in_use=True)
        if version.state == "ready":
            self.free(version)
            log.info("unloaded %s", version.label)
        return self.version(name, number)

    async def delete(self, name: str, number: int) -> None:
        """Remove a version from the store; requests that hold it finish on it.

        Raises `VersionInUse` for the default and for a member of a group, `VersionReadOnly` for a version in a folder
        that is only read.
        """
        await self.find(name, number)
        self._refuse_default(name, number)
        await self.refresh()  # a group may have been published just now
        self._refuse_member(self.version(name, number))
        await self._on_disk(lambda: self._store.delete(name, number))
        await self.refresh(name)

    async def set_default(self, name: str, number: int, *, expected: int | None) -> int:
        """Make a version the default and return the previous one. It is loaded first, so that no request waits for it.

        Raises `VersionNotReady` for a version that failed to load, `DefaultChanged` if `expected` is given and is not
        the default in force.
        """
        try:
            await self._loader.get(await self.find_version(name, number))
        except ModelFailedToLoad as error:
            raise VersionNotReady(error.message, param="version") from error
        present = self.model(name).default or number
        before = await self._on_disk(lambda: self._store.set_default(name, number, expected=expected, present=present))
        await self.refresh(name)
        return before

    async def history(
        self, name: str, *, after: Sequence[int] | None, limit: int
    ) -> tuple[list[tuple[tuple[int, ...], Change]], bool]:
        """A page of the changes to a model's versions and default, as `Store.history_page`; `ModelNotFound`."""
        await self.find(name)
        return await self._on_disk(lambda: self._store.history_page(name, after, limit))

    async def refresh(self, name: str | None = None) -> None:
        """Scan the folder of `name`, or the whole store, and apply what has changed.

        If the store cannot be read, or has disappeared or been unmounted, everything stays as it is.
        """
        await asyncio.shield(self._begin_scan(name))

    def _begin_scan(self, name: str | None) -> asyncio.Task[None]:
        """Scan in a task of its own: what the scanner has seen is applied even if nobody waits for it any more."""
        task = asyncio.create_task(self._scan(name))
        self._scans.add(task)
        task.add_done_callback(self._scans.discard)
        return task

    async def _scan(self, name: str | None) -> None:
        self._failed = {each for each in self._failed if self._is_failed(each)}
        failed = {(each.name, each.number): each.fingerprint for each in self._failed}
        try:
            found = await self._on_disk(lambda: self._scanner.scan(failed, name))
        except OSError as error:
            self.trouble = f"the model store cannot be read: {error.strerror}"
            self._report("", self.trouble)
        except StoreLost as lost:
            self.trouble = str(lost)
            self._report("", lost.detail)
        else:
            self.trouble = None
            self._report("", None)
            for each, seen in found.items():
                self._apply(each, seen)

    def _is_failed(self, version: Version) -> bool:
        model = self._models.get(version.name)
        return version.state == "failed" and model is not None and model.versions.get(version.number) is version

    def stays(self, version: Version) -> bool:
        """Whether the version is a default, present or coming, or among those to load at start."""
        model = self._models.get(version.name)
        is_default = model is not None and version.number in (model.default, model.chosen())
        return is_default or self._preload.includes(version.ref) or bool(self.groups_of(version, in_use=True))

    def _refuse_member(self, version: Version, *, in_use: bool = False) -> None:
        if groups := self.groups_of(version, in_use=in_use):
            raise VersionInUse(f"{version.label} is a member of the group {', '.join(groups)}", param="version")

    def free(self, version: Version) -> None:
        """Put an available version in the place of a loaded one, which its holders can go on using."""
        found = version.group or version.card
        self._models[version.name].versions[version.number] = self._new(version.name, version.number, found)
        self.changed(version)

    def settled(self, version: Version) -> None:
        """Decide on the default again, after the version has been loaded or has failed."""
        if version.state == "failed":
            self._failed.add(version)
        self.changed(version)
        if model := self._models.get(version.name):
            self._settle(model)

    def _new(self, name: str, number: int, found: Card | Group | None) -> Version:
        version = Version(name, number, on_idle=self._loader.wake)
        _describe(version, found)
        return version

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self.refresh()
            except Exception:
                log.exception("scanning the store failed")
            self._lookups.forget()

    async def _on_disk(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    def _apply(self, name: str, seen: Snapshot | StoreError | None) -> None:
        if isinstance(seen, StoreError):
            self._report(name, seen.message)
            return
        if seen is None:
            self._remove(name)
            self._faults.pop(name, None)
            return
        model = self._add(name)
        for number in model.versions.keys() - seen.fingerprints.keys():
            del model.versions[number]
        for number, found in seen.fingerprints.items():
            version = model.versions.get(number)
            if version is None or (version.state == "failed" and version.fingerprint != found):
                version = model.versions[number] = self._new(name, number, seen.cards.get(number))
                if self._preload.includes(version.ref):
                    self._loader.begin(version)
            elif version.card is None and version.group is None:
                _describe(version, seen.cards.get(number))
        if isinstance(seen.pointer, StoreError):
            self._report(name, seen.pointer.message)
        else:
            self._report(name, None)
            model.pointer = seen.pointer
        self._note_change(model)
        self._settle(model)

    def _settle(self, model: Model) -> None:
        """Put the chosen default into force. A loaded default keeps answering until its successor is loaded.

        Example: version 1 is loaded and answers when another process promotes version 2. This call starts loading 2 and
        returns, so requests still go to 1. Once 2 is loaded, `settled` calls again and 2 becomes the default. If 2
        fails, it becomes the default all the same, because the pointer names it, and requests are answered with the
        reason.
        """
        present, chosen = model.versions.get(model.default or 0), model.versions.get(model.chosen() or 0)
        if chosen is None or chosen.number != model.default:
            if present and chosen and present.state == "ready" and chosen.state in ("available", "loading"):
                self._loader.begin(chosen)
                return
            model.default = chosen.number if chosen else None
            self._note_change(model)
            log.info("default of %s is %s", model.name, model.default)
        if chosen and chosen.state == "available" and self._preload.includes(ModelRef(model.name)):
            self._loader.begin(chosen)

    async def find_version(self, name: str, number: int | None) -> Version:
        """A version, the default one for `number` None, as `find` finds it; `ModelFailedToLoad` if all have failed."""
        model = await self.find(name, number)
        if number is None:
            number = model.default
        if number is None:
            first = self.versions(name)[0]
            raise ModelFailedToLoad(f"every version of model {name!r} failed to load; {first.label}: {first.error}")
        return model.versions[number]

    def _refuse_default(self, name: str, number: int) -> None:
        if self.model(name).default == number:
            raise VersionInUse(f"version {number} is the default of model {name!r}", param="version")

    def _report(self, name: str, fault: str | None) -> None:
        """Log a fault of the store once, not at every scan."""
        if fault and self._faults.get(name) != fault:
            log.error("%s", fault)
        self._faults[name] = fault or ""


def _describe(version: Version, found: Card | Group | None) -> None:
    if isinstance(found, Group):
        version.group = found
    else:
        version.card = found
