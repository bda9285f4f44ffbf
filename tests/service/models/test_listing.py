"""The JSON of models, and what is not rendered again."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from contract.errors import ModelNotFound
from contract.store import Store
from service.engine.device import CPU, Device
from service.engine.interface import Engine
from service.engine.load import load_engine
from service.models import listing
from service.models.listing import LISTED_LABELS, Listing, summary
from service.models.loader import Load
from service.models.registry import Registry

NAME = "tiny-image"


@asynccontextmanager
async def running(root: Path, load: Load = load_engine) -> AsyncIterator[tuple[Registry, Listing]]:
    registry = Registry(Store(root), device=CPU, preload=(), poll_seconds=3600, load=load)
    await registry.start()
    try:
        yield registry, Listing(registry)
    finally:
        await registry.stop()


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that have been rendered."""
    names: list[str] = []
    render: Callable[[Any], bytes] = listing._render

    def noted(model: Any) -> bytes:
        names.append(model.name)
        return render(model)

    monkeypatch.setattr(listing, "_render", noted)
    return names


async def shown(found: Listing) -> dict[str, Any]:
    """The models in the list, each the same as alone, by name."""
    models = json.loads(await found.all())["data"]
    assert [model["name"] for model in models] == sorted(model["name"] for model in models)
    assert models == [json.loads(await found.model(model["name"])) for model in models]
    return {model["name"]: model for model in models}


def states(model: dict[str, Any]) -> list[tuple[int, str]]:
    return [(version["version"], version["state"]) for version in model["versions"]]


async def test_the_list_shows_every_change(store_root: Path) -> None:
    may_load = Event()

    def load(path: Path, device: Device) -> Engine:
        assert may_load.wait(30)
        return load_engine(path, device)

    async with running(store_root, load) as (registry, found):
        models = await shown(found)
        assert models.keys() == {"tiny-direct", "tiny-events", NAME}
        assert states(models[NAME]) == [(1, "available"), (2, "available")]
        loading = asyncio.create_task(registry.load(NAME, 2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert states((await shown(found))[NAME]) == [(1, "available"), (2, "loading")]
        may_load.set()
        await loading
        assert states((await shown(found))[NAME]) == [(1, "available"), (2, "ready")]
        await registry.unload(NAME, 2)
        assert states((await shown(found))[NAME]) == [(1, "available"), (2, "available")]
        await registry.set_default(NAME, 2, expected=1)
        assert (await shown(found))[NAME]["default_version"] == 2
        await registry.delete(NAME, 1)
        assert states((await shown(found))[NAME]) == [(2, "ready")]
        (store_root / "tiny-direct" / "1" / "model.pt").write_bytes(b"broken")
        with pytest.raises(Exception, match="failed to load"):
            await registry.load("tiny-direct", 1)
        assert (await shown(found))["tiny-direct"]["versions"][0]["error"]
        (store_root / "tiny-direct").rename(store_root / "renamed")
        await registry.refresh()
        assert (await shown(found)).keys() == {"renamed", "tiny-events", NAME}
        with pytest.raises(ModelNotFound):
            await found.model("tiny-direct")


async def test_only_what_has_changed_is_rendered_once_for_all(store_root: Path, rendered: list[str]) -> None:
    async with running(store_root) as (registry, found):
        lists = await asyncio.gather(*(found.all() for _ in range(8)))
        assert len(set(map(id, lists))) == 1
        assert sorted(rendered) == ["tiny-direct", "tiny-events", NAME]
        rendered.clear()
        await found.model(NAME)
        assert await found.all() is lists[0]
        assert rendered == []
        await registry.load("tiny-direct", 1)
        assert await found.all() != lists[0]
        assert rendered == ["tiny-direct"]


async def test_many_labels_are_shown_with_their_version_alone(store_root: Path) -> None:
    async with running(store_root) as (registry, found):
        version = registry.version(NAME, 2)
        assert version.card is not None
        for labels in (("x" * (LISTED_LABELS - 1), "y"), ("x" * LISTED_LABELS, "y")):
            version.card = version.card.model_copy(update={"labels": labels})
            registry.changed(version)
            seen = (await shown(found))[NAME]["versions"][1]["labels"]
            assert seen == (list(labels) if len(labels[0]) < LISTED_LABELS else None)
            assert summary(version, whole=True).labels == list(labels)
