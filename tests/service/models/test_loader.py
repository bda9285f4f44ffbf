"""Which versions stay in memory, and whose turn it is to be loaded."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contract.errors import ModelFailedToLoad, Unavailable
from contract.store import Store
from service.engine.device import CPU, Device
from service.engine.interface import Engine
from service.engine.torchscript import TorchScriptEngine
from service.models.registry import Registry

NAME = "tiny-direct"


@pytest.fixture
def root(tiny_store_root: Path, tmp_path: Path) -> Path:
    """A store with six versions of one model."""
    for number in range(1, 7):
        shutil.copytree(tiny_store_root / NAME / "1", tmp_path / "store" / NAME / str(number))
    return tmp_path / "store"


class Gate:
    """Loads checkpoints, one for each time that it is opened."""

    def __init__(self) -> None:
        self._open = threading.Semaphore(0)
        self.loads: list[int] = []

    def open(self, times: int = 1) -> None:
        self._open.release(times)

    def load(self, path: Path, device: Device) -> Engine:
        self._open.acquire()
        self.loads.append(int(path.parent.name))
        return TorchScriptEngine.load(path, device)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open(100)


@asynccontextmanager
async def running(root: Path, gate: Gate, *preload: str, places: int = 2) -> AsyncIterator[Registry]:
    registry = Registry(
        Store(root),
        device=CPU,
        preload=preload,
        poll_seconds=3600.0,
        max_loaded_versions=places,
        load=gate.load,
    )
    await registry.start()
    try:
        yield registry
    finally:
        gate.open(100)
        await registry.stop()


def ready(registry: Registry) -> list[int]:
    return [version.number for version in registry.versions(NAME) if version.state == "ready"]


def loading(registry: Registry) -> list[int]:
    return [version.number for version in registry.versions(NAME) if version.state == "loading"]


async def use(registry: Registry, number: int | None) -> None:
    loaded = await registry.get(NAME, number, timeout=20)
    loaded.version.hold()
    loaded.version.release()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


async def test_the_version_that_was_not_used_for_longest_makes_room(root: Path, gate: Gate) -> None:
    gate.open(100)
    async with running(root, gate, NAME, f"{NAME}/6") as registry:
        for number in (None, 2, 3, 2):
            await use(registry, number)
        assert ready(registry) == [1, 2, 3, 6]
        await use(registry, 4)
        assert ready(registry) == [1, 2, 4, 6]
        assert registry.version(NAME, 3).state == "available"
        assert registry.version(NAME, 3).card is not None
        for number in (5, 3, 4, 5):
            await use(registry, number)
        assert ready(registry) == [1, 4, 5, 6]


async def test_a_version_that_is_no_longer_the_default_can_make_room(root: Path, gate: Gate) -> None:
    gate.open(100)
    async with running(root, gate, NAME, places=1) as registry:
        await use(registry, None)
        await registry.set_default(NAME, 2, expected=None)
        assert ready(registry) == [1, 2]
        await use(registry, 3)
        assert ready(registry) == [2, 3]


async def test_a_version_in_use_stays_and_the_next_one_waits_for_a_place(root: Path, gate: Gate) -> None:
    gate.open(100)
    async with running(root, gate, NAME, places=1) as registry:
        held = await registry.get(NAME, 2, timeout=20)
        held.version.hold()
        with pytest.raises(Unavailable):
            await registry.get(NAME, 3, timeout=0.02)
        assert registry.version(NAME, 3).state == "available"
        assert registry.version(NAME, 2) is held.version
        waiting = asyncio.create_task(registry.get(NAME, 3, timeout=20))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        held.version.release()
        assert (await waiting).version.number == 3
        assert ready(registry) == [1, 3]


async def test_loads_take_turns_and_one_that_nobody_waits_for_any_more_does_not_begin(root: Path, gate: Gate) -> None:
    async with running(root, gate, places=5) as registry:
        first, second = (asyncio.create_task(registry.get(NAME, number, timeout=20)) for number in (2, 3))
        same = asyncio.create_task(registry.get(NAME, 3, timeout=20))
        await until(lambda: loading(registry) == [2])
        with pytest.raises(Unavailable):
            await registry.get(NAME, 4, timeout=0.02)
        assert loading(registry) == [2]
        gate.open()
        await first
        await until(lambda: loading(registry) == [3])
        gate.open()
        assert (await second).engine is (await same).engine
        await asyncio.sleep(0.01)
        assert gate.loads == [2, 3]
        assert ready(registry) == [2, 3]


async def test_a_default_that_a_request_names_takes_a_turn_and_no_place(root: Path, gate: Gate) -> None:
    gate.open(100)
    async with running(root, gate, places=1) as registry:
        await use(registry, 2)
        held = await registry.get(NAME, 2, timeout=20)
        held.version.hold()
        await use(registry, None)
        assert ready(registry) == [1, 2]


async def test_a_version_that_fails_gives_its_turn_and_its_place_to_the_next(root: Path, gate: Gate) -> None:
    gate.open(100)
    (root / NAME / "2" / "model.pt").write_bytes(b"broken")
    async with running(root, gate, places=1) as registry:
        with pytest.raises(ModelFailedToLoad):
            await registry.get(NAME, 2, timeout=20)
        await use(registry, 3)
        assert ready(registry) == [3]
