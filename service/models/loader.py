"""Brings versions into memory, one after another, and takes out those that have not been used for longest.

A version stays in memory if it is its model's default or among those to load at start. All others that callers name
share `places`: before one more is loaded, the least recently used one that no request uses is unloaded.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Protocol

from contract.checkpoint import CheckpointError
from contract.errors import ModelFailedToLoad
from contract.group import GROUP_FILE, Group, group_card, read_group
from contract.names import ModelRef
from contract.reason import reason_of
from contract.reference import read_reference
from contract.store import Store
from service.engine.device import Device
from service.engine.group import GroupEngine
from service.engine.interface import Engine
from service.models.version import Loaded, Version, fingerprint

Load = Callable[[Path, Device], Engine]

log = logging.getLogger(__name__)


class Owner(Protocol):
    """The one who knows all versions."""

    def stays(self, version: Version) -> bool:
        """Whether the version is never unloaded to make room."""

    def member(self, ref: ModelRef) -> Version | None:
        """The version that a group names, if the store has it."""

    def in_memory(self) -> Iterable[Version]:
        """The versions that are loaded."""

    def free(self, version: Version) -> None:
        """Forget the engine of a loaded version."""

    def changed(self, version: Version) -> None:
        """The state of the version has changed."""

    def settled(self, version: Version) -> None:
        """A version has been loaded or has failed."""


class Loader:
    """Loads the versions of `owner` from `store` on one thread; `load` makes a checkpoint ready to run on `device`."""

    def __init__(self, owner: Owner, store: Store, device: Device, load: Load, *, places: int) -> None:
        self._owner = owner
        self._store = store
        self._device = device
        self._load_checkpoint = load
        self._places = places
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_turn: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    async def stop(self) -> None:
        """Load no more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def get(self, version: Version) -> Loaded:
        """The version in memory, loaded first if it is not; `ModelFailedToLoad`.

        Loads that requests ask for take turns, and a request that is cancelled before its turn leaves nothing behind.
        A load that has begun goes on without it.
        """
        while version.state == "available" and not self._may_begin(version):
            await self._changed.wait()
        if version.state == "available":
            self._in_turn = self.begin(version)
        if version.loading is not None:
            await asyncio.shield(version.loading)
        if version.engine is None:
            raise ModelFailedToLoad(f"{version.label} failed to load: {version.error}", param="version")
        return Loaded(version, version.engine)

    def begin(self, version: Version) -> asyncio.Task[None]:
        """Begin to load a version without waiting for a turn, unless that has begun already."""
        if version.loading is None:
            version.state, version.error = "loading", None
            version.loading = asyncio.create_task(self._load(version))
            self._tasks.add(version.loading)
            version.loading.add_done_callback(self._end)
            self._owner.changed(version)
        return version.loading

    def wake(self) -> None:
        """Let those who wait for a turn look again: a load has ended, or a version is not in use any more."""
        self._changed.set()
        self._changed.clear()

    def _may_begin(self, version: Version) -> bool:
        if self._in_turn is not None:
            return False
        return self._owner.stays(version) or self._make_room()

    def _make_room(self) -> bool:
        """Unload versions until there is a place; False if all that could be unloaded are in use."""
        loaded = [version for version in self._owner.in_memory() if not self._owner.stays(version)]
        idle = sorted((version for version in loaded if not version.users), key=lambda version: version.used_at)
        surplus = len(loaded) - self._places + 1
        for version in idle[: max(0, surplus)]:
            log.info("unloading %s to make room", version.label)
            self._owner.free(version)
        return surplus <= len(idle)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task is self._in_turn:
            self._in_turn = None
            self.wake()

    async def _load(self, version: Version) -> None:
        in_thread = asyncio.get_running_loop().run_in_executor
        try:
            path = await in_thread(self._thread, self._store.checkpoint_path, version.name, version.number)
            version.fingerprint = await in_thread(self._thread, fingerprint, path)
            if path.name == GROUP_FILE:
                version.group = await in_thread(self._thread, read_group, path)
                version.engine = await self._load_group(version, version.group)
            else:
                version.reference = await in_thread(self._thread, read_reference, path)
                version.engine = await in_thread(self._thread, self._load_checkpoint, path, self._device)
        except CheckpointError as error:
            version.error = str(error)
        except Exception as error:
            log.exception("loading %s failed", version.label)
            version.error = f"it could not be loaded: {reason_of(error)}"
        else:
            version.card = version.engine.card
        version.state = "ready" if version.engine else "failed"
        version.loading = None
        version.used_at = monotonic()
        log.info("%s is %s%s", version.label, version.state, f": {version.error}" if version.error else "")
        self._owner.settled(version)

    async def _load_group(self, version: Version, group: Group) -> Engine:
        """Load the members that are not in memory, without waiting for a turn; `CheckpointError` if one cannot be."""
        members = []
        for ref in group.refs:
            member = self._owner.member(ref)
            if member is None:
                raise CheckpointError(f"its member {ref} is not in the store")
            if member.group is None and member.engine is None:
                if member.state == "failed":
                    member.state = "available"
                await asyncio.shield(self.begin(member))
            if member.group is not None:
                raise CheckpointError(f"its member {ref} is a group itself")
            if member.engine is None:
                raise CheckpointError(f"its member {ref} failed to load: {member.error}")
            members.append(member.engine)
        return GroupEngine(group_card(version.name, group, [member.card for member in members]), members)
