"""Models and versions through the client, on a store that it may change."""

from pathlib import Path

import pytest

from stl_snn_client import AsyncClient, Client, Conflict, NotFound
from tests.stl_snn_client.running import service_at


async def test_versions_are_listed_promoted_loaded_and_deleted(store_root: Path, tmp_path: Path) -> None:
    with service_at(store_root, tmp_path / "data", preload=("tiny-image",)) as service, Client(service.url) as client:
        assert client.health()["status"] == "ready"
        assert [model["name"] for model in client.models()] == ["tiny-direct", "tiny-events", "tiny-image"]
        assert client.model("tiny-image")["default_version"] == 1
        card = client.version("tiny-image", 2)["card"]
        assert card is not None
        assert card["name"] == "tiny-image"

        assert client.load("tiny-image", 2)["state"] == "ready"
        assert client.unload("tiny-image", 2)["state"] == "available"
        assert client.promote("tiny-image", 2, expected=1)["previous_default_version"] == 1
        with pytest.raises(Conflict) as raised:
            client.promote("tiny-image", 1, expected=1)
        assert raised.value.code == "default_changed"
        assert client.delete("tiny-image", 1)["deleted"]
        with pytest.raises(NotFound):
            client.version("tiny-image", 1)
        changes = [(change["action"], change["version"]) for change in client.history("tiny-image", limit=1)]
        assert changes[:2] == [("delete", 1), ("promote", 2)]
        assert len(changes) == 4
        async with AsyncClient(service.url) as other:
            assert [(each["action"], each["version"]) async for each in other.history("tiny-image", limit=1)] == changes
