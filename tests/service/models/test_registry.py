"""The registry over real stores, and over other processes' changes to them."""

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contract.errors import (
    DefaultChanged,
    ModelFailedToLoad,
    ModelNotFound,
    Unavailable,
    VersionInUse,
    VersionNotFound,
    VersionNotReady,
    VersionReadOnly,
)
from contract.store import Store
from service.engine.device import CPU, Device
from service.engine.interface import Engine, blank_sample
from service.engine.load import load_engine
from service.models.loader import Load
from service.models.registry import Registry

POLL_SECONDS = 0.05
NEVER = 3600.0


@asynccontextmanager
async def running(
    root: Path,
    *preload: str,
    poll_seconds: float = POLL_SECONDS,
    read_only: Sequence[Path] = (),
    load: Load | None = None,
) -> AsyncIterator[Registry]:
    store = Store(root, *read_only)
    registry = Registry(store, device=CPU, preload=preload, poll_seconds=poll_seconds, load=load)
    await registry.start()
    try:
        yield registry
    finally:
        await registry.stop()


def load_slowly(path: Path, device: Device) -> Engine:
    time.sleep(0.2)
    return load_engine(path, device)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def states(registry: Registry, name: str) -> dict[int, str]:
    return {version.number: version.state for version in registry.versions(name)}


def copy_of(root: Path, name: str, version: int) -> Callable[[Path], None]:
    """Writes a published version's files into the folder of a new one."""

    def write(folder: Path) -> None:
        shutil.copytree(root / name / str(version), folder, dirs_exist_ok=True)

    return write


def break_checkpoint(root: Path, name: str, version: int) -> bytes:
    """Cut the file in half, and return what it was."""
    path = Store(root).checkpoint_path(name, version)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return content


async def test_preloading_everything_loads_the_default_of_each_model(store_root: Path) -> None:
    async with running(store_root, "*") as registry:
        assert registry.names() == ["tiny-direct", "tiny-events", "tiny-image"]
        assert registry.pending == ["tiny-direct/1", "tiny-events/1", "tiny-image/1"]
        assert not registry.ready
        await until(lambda: registry.ready)
        assert registry.pending == []
        assert states(registry, "tiny-image") == {1: "ready", 2: "available"}
        version, engine = await registry.get("tiny-image", None, timeout=0)
        assert version.number == 1
        assert engine.card.name == "tiny-image"


async def test_preloading_by_name_and_version_loads_only_these(store_root: Path) -> None:
    async with running(store_root, "tiny-image/2", "tiny-events") as registry:
        await until(lambda: registry.ready)
        await asyncio.sleep(3 * POLL_SECONDS)
        assert states(registry, "tiny-image") == {1: "available", 2: "ready"}
        assert states(registry, "tiny-events") == {1: "ready"}
        assert states(registry, "tiny-direct") == {1: "available"}


async def test_versions_that_are_not_loaded_have_their_card(store_root: Path) -> None:
    async with running(store_root, poll_seconds=NEVER) as registry:
        assert registry.ready
        version = registry.version("tiny-image", 2)
        assert version.state == "available"
        assert version.card is not None
        assert version.card.name == "tiny-image"


@pytest.mark.parametrize("entry", ["", "Digits", "digits/", "digits/0", "digits/one", "../digits", "digits/1/2"])
def test_a_preload_entry_that_names_nothing_is_refused(store_root: Path, entry: str) -> None:
    with pytest.raises(ValueError, match="cannot preload"):
        Registry(Store(store_root), device=CPU, preload=[entry], poll_seconds=1)


async def test_without_a_store_it_is_not_ready_until_the_store_appears(store_root: Path, tmp_path: Path) -> None:
    async with running(tmp_path / "later", "*") as registry:
        assert registry.names() == []
        assert not registry.ready
        store_root.rename(tmp_path / "later")
        await until(lambda: registry.ready)
        assert len(registry.names()) == 3


async def test_a_preload_model_that_does_not_exist_keeps_it_pending(store_root: Path) -> None:
    async with running(store_root, "digits", "tiny-image/7") as registry:
        await asyncio.sleep(2 * POLL_SECONDS)
        assert registry.pending == ["digits", "tiny-image/7"]
        assert not registry.ready
        shutil.copytree(store_root / "tiny-image" / "1", store_root / "tiny-image" / "7")
        shutil.copytree(store_root / "tiny-image" / "1", store_root / "digits" / "1")
        await until(lambda: registry.ready)


async def test_a_start_says_what_is_not_there(store_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(store_root, "tiny-imag", "tiny-image/7", "tiny-image") as registry:
        assert registry.missing == ["tiny-imag", "tiny-image/7"]
    assert (
        "'tiny-imag' should be loaded at start, but the store does not have it; did you mean 'tiny-image'?"
        in caplog.text
    )
    async with running(store_root / "nowhere", "*"):
        pass
    assert f"there is no model store at {store_root / 'nowhere'}" in caplog.text


async def test_an_available_version_is_loaded_once_for_all_who_ask(
    store_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="service.models")
    async with running(store_root) as registry:
        versions = set(await asyncio.gather(*(registry.get("tiny-image", 2, timeout=20) for _ in range(8))))
        assert len(versions) == 1
        assert versions.pop().engine.card.name == "tiny-image"
    assert [record.getMessage() for record in caplog.records].count("tiny-image/2 is ready") == 1


async def test_a_load_that_outlasts_the_timeout_goes_on_in_the_background(store_root: Path) -> None:
    async with running(store_root) as registry:
        with pytest.raises(Unavailable, match="still loading"):
            await registry.get("tiny-image", 2, timeout=0.001)
        await until(lambda: registry.version("tiny-image", 2).state == "ready")


async def test_a_caller_who_leaves_does_not_stop_the_load_of_the_others(store_root: Path) -> None:
    async with running(store_root, load=load_slowly) as registry:
        leaving = asyncio.create_task(registry.get("tiny-image", 2, timeout=20))
        staying = asyncio.create_task(registry.get("tiny-image", 2, timeout=20))
        await until(lambda: registry.version("tiny-image", 2).state == "loading")
        leaving.cancel()
        assert (await staying).version.state == "ready"


async def test_unknown_names_and_versions_say_what_is_near(store_root: Path) -> None:
    async with running(store_root) as registry:
        with pytest.raises(ModelNotFound, match="no model 'tiny-imgae'; did you mean 'tiny-image'"):
            await registry.get("tiny-imgae", None, timeout=1)
        with pytest.raises(ModelNotFound):
            await registry.get("../tiny-image", 1, timeout=1)
        for number in (3, 0, -1):
            with pytest.raises(VersionNotFound, match=f"no version {number}; its latest is version 2"):
                await registry.get("tiny-image", number, timeout=1)
        with pytest.raises(ModelNotFound):
            registry.versions("nothing-like-it")
        with pytest.raises(VersionNotFound):
            registry.version("tiny-image", 9)


async def test_a_version_published_just_now_is_found_before_the_next_look(store_root: Path) -> None:
    async with running(store_root, poll_seconds=NEVER) as registry:
        number = Store(store_root).publish("tiny-image", copy_of(store_root, "tiny-image", 1))
        assert (await registry.get("tiny-image", number, timeout=20)).version.state == "ready"
        Store(store_root).publish("brand-new", copy_of(store_root, "tiny-image", 1))
        assert (await registry.get("brand-new", None, timeout=20)).version.state == "ready"


async def test_new_and_removed_versions_are_seen_without_a_restart(store_root: Path) -> None:
    async with running(store_root, "*") as registry:
        await until(lambda: registry.ready)
        Store(store_root).publish("appeared", copy_of(store_root, "tiny-image", 1))
        await until(lambda: "appeared" in registry.names() and states(registry, "appeared") == {1: "ready"})
        Store(store_root).delete("tiny-image", 2)
        await until(lambda: states(registry, "tiny-image") == {1: "ready"})
        shutil.rmtree(store_root / "tiny-direct")
        await until(lambda: "tiny-direct" not in registry.names())
        assert registry.ready


async def test_a_broken_version_fails_with_its_reason_and_harms_nothing_else(store_root: Path) -> None:
    break_checkpoint(store_root, "tiny-image", 2)
    async with running(store_root, "*", "tiny-image/2") as registry:
        await until(lambda: registry.ready)
        assert states(registry, "tiny-image") == {1: "ready", 2: "failed"}
        error = registry.version("tiny-image", 2).error
        assert error
        with pytest.raises(ModelFailedToLoad) as caught:
            await registry.get("tiny-image", 2, timeout=20)
        assert error in caught.value.message
        assert str(store_root) not in caught.value.message
        assert (await registry.get("tiny-image", None, timeout=0)).version.number == 1
        with pytest.raises(VersionNotReady):
            await registry.set_default("tiny-image", 2, expected=None)
        pointer = Store(store_root).pointer("tiny-image")
        assert pointer.version is None
        assert registry.default("tiny-image") == 1


async def test_a_broken_version_is_tried_again_once_its_file_changes(store_root: Path) -> None:
    content = break_checkpoint(store_root, "tiny-image", 2)
    async with running(store_root, "tiny-image/2") as registry:
        await until(lambda: registry.version("tiny-image", 2).state == "failed")
        failed = registry.version("tiny-image", 2)
        await asyncio.sleep(3 * POLL_SECONDS)
        assert registry.version("tiny-image", 2) is failed
        path = Store(store_root).checkpoint_path("tiny-image", 2)
        path.with_name("whole").write_bytes(content)
        path.with_name("whole").replace(path)
        await until(lambda: registry.version("tiny-image", 2).state == "ready")
        assert registry.version("tiny-image", 2).error is None


async def test_loading_a_failed_version_tries_it_again(store_root: Path) -> None:
    content = break_checkpoint(store_root, "tiny-image", 2)
    async with running(store_root, poll_seconds=NEVER) as registry:
        for _ in range(2):
            with pytest.raises(ModelFailedToLoad):
                await registry.load("tiny-image", 2)
        Store(store_root).checkpoint_path("tiny-image", 2).write_bytes(content)
        assert (await registry.load("tiny-image", 2)).state == "ready"
        assert (await registry.load("tiny-image", 2)).state == "ready"


async def test_a_version_folder_without_a_checkpoint_fails_until_it_has_one(store_root: Path) -> None:
    (store_root / "tiny-image" / "3").mkdir()
    async with running(store_root, "tiny-image/3") as registry:
        await until(lambda: registry.version("tiny-image", 3).state == "failed")
        shutil.copy(store_root / "tiny-image" / "1" / "model.pt", store_root / "tiny-image" / "3" / "model.pt")
        await until(lambda: registry.version("tiny-image", 3).state == "ready")


async def test_the_lowest_version_that_loads_is_the_default_where_nobody_chose(store_root: Path) -> None:
    break_checkpoint(store_root, "tiny-image", 1)
    async with running(store_root, "*") as registry:
        await until(lambda: registry.ready)
        assert states(registry, "tiny-image") == {1: "failed", 2: "ready"}
        assert registry.default("tiny-image") == 2
        assert (await registry.get("tiny-image", None, timeout=20)).version.number == 2


async def test_a_model_of_which_nothing_loads_says_why(store_root: Path) -> None:
    break_checkpoint(store_root, "tiny-direct", 1)
    async with running(store_root, "*") as registry:
        await until(lambda: registry.ready)
        assert registry.default("tiny-direct") is None
        with pytest.raises(
            ModelFailedToLoad, match="every version of model 'tiny-direct' failed to load; tiny-direct/1"
        ):
            await registry.get("tiny-direct", None, timeout=1)
        await registry.delete("tiny-direct", 1)
        assert "tiny-direct" not in registry.names()


async def test_a_promoted_version_is_loaded_before_it_is_the_default(store_root: Path) -> None:
    async with running(store_root, "*", poll_seconds=NEVER) as registry:
        await until(lambda: registry.ready)
        assert await registry.set_default("tiny-image", 2, expected=1) == 1
        assert (await registry.get("tiny-image", None, timeout=0)).version.number == 2
        with pytest.raises(DefaultChanged):
            await registry.set_default("tiny-image", 1, expected=1)
        assert await registry.set_default("tiny-image", 1, expected=2) == 2
        assert registry.default("tiny-image") == 1
    async with running(store_root, poll_seconds=NEVER) as registry:
        assert registry.default("tiny-image") == 1
        with pytest.raises(VersionNotFound):
            await registry.set_default("tiny-image", 9, expected=None)
        with pytest.raises(ModelNotFound):
            await registry.set_default("letters", 1, expected=None)


async def test_a_default_chosen_elsewhere_takes_over_without_making_anyone_wait(store_root: Path) -> None:
    async with running(store_root, "*") as registry:
        await until(lambda: registry.ready)
        Store(store_root).set_default("tiny-image", 2, present=1)
        async with asyncio.timeout(20):
            answered = set()
            while 2 not in answered:
                answered.add((await registry.get("tiny-image", None, timeout=0)).version.number)
                await asyncio.sleep(0.001)
        assert answered == {1, 2}


async def test_a_pointer_to_a_broken_version_is_followed_and_says_why(store_root: Path) -> None:
    break_checkpoint(store_root, "tiny-image", 2)
    Store(store_root).set_default("tiny-image", 2, present=1)
    async with running(store_root, "*") as registry:
        await until(lambda: registry.ready)
        assert registry.default("tiny-image") == 2
        with pytest.raises(ModelFailedToLoad, match="tiny-image/2"):
            await registry.get("tiny-image", None, timeout=1)
        assert await registry.set_default("tiny-image", 1, expected=2) == 2
        assert (await registry.get("tiny-image", None, timeout=0)).version.number == 1


async def test_a_damaged_pointer_leaves_the_default_as_it_was(
    store_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(store_root, "*") as registry:
        await registry.set_default("tiny-image", 2, expected=None)
        (store_root / "tiny-image" / "default.json").write_text("{")
        Store(store_root).publish("other", copy_of(store_root, "tiny-image", 1))
        await until(lambda: "other" in registry.names())
        await asyncio.sleep(3 * POLL_SECONDS)
        assert registry.default("tiny-image") == 2
    assert caplog.text.count("default.json of model 'tiny-image' is not valid") == 1


async def test_unloading_frees_a_version_and_spares_who_holds_it(store_root: Path) -> None:
    async with running(store_root, "tiny-image", "tiny-image/2") as registry:
        await until(lambda: registry.ready)
        held = await registry.get("tiny-image", 2, timeout=0)
        assert (await registry.unload("tiny-image", 2)).state == "available"
        assert len(held.engine.run([blank_sample(held.engine.card)])) == 1
        await asyncio.sleep(3 * POLL_SECONDS)
        version = registry.version("tiny-image", 2)
        assert version.state == "available"
        assert version.engine is None
        assert version.card == held.version.card
        assert (await registry.get("tiny-image", 2, timeout=20)).engine is not held.engine
        with pytest.raises(VersionInUse):
            await registry.unload("tiny-image", 1)
        with pytest.raises(VersionNotFound):
            await registry.unload("tiny-image", 3)


async def test_unloading_waits_for_a_load_under_way(store_root: Path) -> None:
    async with running(store_root, load=load_slowly) as registry:
        loading = asyncio.create_task(registry.load("tiny-image", 2))
        await until(lambda: registry.version("tiny-image", 2).state == "loading")
        assert (await registry.unload("tiny-image", 2)).state == "available"
        assert (await loading).engine is not None
        assert registry.version("tiny-image", 2).engine is None


async def test_deleting_removes_a_version_and_spares_who_holds_it(store_root: Path) -> None:
    async with running(store_root, "*", poll_seconds=NEVER) as registry:
        held = await registry.get("tiny-image", 2, timeout=20)
        await registry.delete("tiny-image", 2)
        assert len(held.engine.run([blank_sample(held.engine.card)])) == 1
        assert states(registry, "tiny-image").keys() == {1}
        assert Store(store_root).versions("tiny-image") == [1]
        with pytest.raises(VersionNotFound):
            await registry.delete("tiny-image", 2)
        with pytest.raises(VersionInUse):
            await registry.delete("tiny-image", 1)
        assert Store(store_root).versions("tiny-image") == [1]


async def test_a_version_deleted_while_it_loads_is_gone(store_root: Path) -> None:
    async with running(store_root, load=load_slowly) as registry:
        loading = asyncio.create_task(registry.load("tiny-image", 2))
        await until(lambda: registry.version("tiny-image", 2).state == "loading")
        await registry.delete("tiny-image", 2)
        await asyncio.wait([loading])
        assert loading.exception() is None or isinstance(loading.exception(), ModelFailedToLoad)
        assert states(registry, "tiny-image") == {1: "available"}


async def test_stopping_in_the_middle_of_a_load_leaves_nothing_running(store_root: Path) -> None:
    async with running(store_root, "*") as registry:
        assert not registry.ready
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert others == set()


async def test_a_store_that_vanishes_makes_the_registry_unready_and_what_is_loaded_answers_on(store_root: Path) -> None:
    async with running(store_root, "*") as registry:
        await until(lambda: registry.ready)
        store_root.rename(store_root.with_name("away"))
        await until(lambda: not registry.ready)
        assert (await registry.get("tiny-image", None, timeout=0)).version.state == "ready"
        with pytest.raises(ModelNotFound):
            await registry.get("letters", None, timeout=1)
        store_root.with_name("away").rename(store_root)
        await until(lambda: registry.ready)
        assert states(registry, "tiny-image") == {1: "ready", 2: "available"}


async def test_an_unmounted_store_makes_the_registry_unready_and_no_model_is_forgotten(
    store_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(store_root, "*") as registry:
        await until(lambda: registry.ready)
        store_root.rename(store_root.with_name("away"))
        store_root.mkdir()
        await until(lambda: not registry.ready)
        assert registry.trouble == "a folder of the model store has disappeared, or an empty one is in its place"
        await asyncio.sleep(3 * POLL_SECONDS)
        assert states(registry, "tiny-image") == {1: "ready", 2: "available"}
        assert (await registry.get("tiny-image", None, timeout=0)).version.state == "ready"
        store_root.rmdir()
        store_root.with_name("away").rename(store_root)
        await until(lambda: registry.ready)
        shutil.rmtree(store_root / "tiny-direct")
        await until(lambda: registry.names() == ["tiny-events", "tiny-image"])
        assert registry.ready
    assert caplog.text.count(f"the folder {store_root} has disappeared, or an empty one is in its place") == 1


async def test_a_store_that_cannot_be_read_makes_the_registry_unready(store_root: Path) -> None:
    async with running(store_root, "*") as registry:
        await until(lambda: registry.ready)
        store_root.rename(store_root.with_name("away"))
        store_root.symlink_to(store_root)
        await until(lambda: not registry.ready)
        assert registry.trouble == "the model store cannot be read: Too many levels of symbolic links"
        assert (await registry.get("tiny-image", None, timeout=0)).version.state == "ready"


async def test_a_model_asked_for_in_vain_is_found_by_the_next_scan(store_root: Path) -> None:
    async with running(store_root) as registry:
        with pytest.raises(ModelNotFound):
            await registry.find("brand-new")
        Store(store_root).publish("brand-new", copy_of(store_root, "tiny-image", 1))
        await until(lambda: "brand-new" in registry)
        assert registry.names() == ["brand-new", "tiny-direct", "tiny-events", "tiny-image"]


async def test_what_a_scan_has_seen_is_applied_even_if_nobody_waits_for_it(store_root: Path) -> None:
    async with running(store_root, poll_seconds=NEVER) as registry:
        Store(store_root).publish("brand-new", copy_of(store_root, "tiny-image", 1))
        leaving = asyncio.create_task(registry.find("brand-new"))
        await asyncio.sleep(0)
        leaving.cancel()
        await until(lambda: "brand-new" in registry)


async def test_the_models_of_several_folders_are_served_together(store_root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    async with running(mine, "*", read_only=[store_root]) as registry:
        await until(lambda: registry.ready)
        assert registry.names() == ["tiny-direct", "tiny-events", "tiny-image"]
        number = Store(mine, store_root).publish("tiny-image", copy_of(store_root, "tiny-image", 1))
        assert number == 3
        assert (await registry.get("tiny-image", 3, timeout=20)).version.state == "ready"
        assert await registry.set_default("tiny-image", 3, expected=1) == 1
        with pytest.raises(VersionReadOnly):
            await registry.delete("tiny-image", 2)
        assert await registry.set_default("tiny-image", 2, expected=3) == 3
        await registry.delete("tiny-image", 3)
        assert states(registry, "tiny-image").keys() == {1, 2}
    assert Store(store_root).pointer("tiny-image").version is None
    async with running(mine, "*", read_only=[store_root]) as registry:
        assert registry.default("tiny-image") == 2


async def test_a_start_says_where_there_is_no_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path / "mine", "*", read_only=[tmp_path / "shipped"]) as registry:
        assert not registry.ready
    assert f"there is no model store at {tmp_path / 'mine'} or {tmp_path / 'shipped'}" in caplog.text
