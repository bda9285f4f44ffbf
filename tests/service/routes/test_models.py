import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import pytest

from tests.service.serving import Client, Serve, check

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "/v1/models/tiny-image"
INPUT = {"inputs": [{"pixels": np.eye(8, dtype=int).tolist()}]}
SUMMARY = {"version", "state", "created_at", "parent", "task", "input", "labels", "metrics", "error", "engine", "group"}


async def served_version(client: Client) -> int:
    answer = await client.post(f"{MODEL}/predict", json=INPUT)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["version"])


async def until(client: httpx.AsyncClient, path: str, key: str, value: Any) -> Any:
    with anyio.fail_after(20):
        while (body := (await client.get(path)).json()).get(key) != value:
            await anyio.sleep(0.05)
    return body


async def test_all_models_are_listed_with_their_versions(client: Client) -> None:
    body = (await client.get("/v1/models")).json()
    assert body["object"] == "list"
    assert [each["name"] for each in body["data"]] == ["tiny-direct", "tiny-events", "tiny-image"]
    model = body["data"][2]
    assert model == (await client.get(MODEL)).json()
    assert {key: model[key] for key in ("name", "object", "id", "owned_by", "default_version")} == {
        "name": "tiny-image",
        "object": "model",
        "id": "tiny-image",
        "owned_by": "stl-snn",
        "default_version": 1,
    }
    assert [each["version"] for each in model["versions"]] == [1, 2]
    assert set(model["versions"][0]) == SUMMARY
    assert model["created"] == int(model["versions"][0]["created_at"])


async def test_a_loaded_version_shows_what_its_card_says(client: Client) -> None:
    body = (await client.get(f"{MODEL}/versions/1")).json()
    card = body["card"]
    assert set(body) == SUMMARY | {"card"}
    assert (body["state"], body["error"]) == ("ready", None)
    assert body["input"] == card["input"] == {"kind": "image", "channels": 1, "height": 8, "width": 8}
    assert body["labels"] == card["labels"] == list("0123456789")
    assert body["metrics"] == card["metrics"]
    assert body["created_at"] == datetime.fromisoformat(card["created_at"]).timestamp()
    assert card["format_version"] == 1


async def test_unknown_models_and_versions_are_refused(client: Client) -> None:
    check(await client.get("/v1/models/nothing"), 404, "model_not_found", "name")
    check(await client.get(f"{MODEL}/versions/9"), 404, "version_not_found", "version")
    check(await client.get(f"{MODEL}/versions/x"), 422, "invalid_parameter", "version")
    check(await client.get(f"{MODEL}/versions/0"), 422, "invalid_parameter", "version")
    for method, path in (("POST", "/load"), ("POST", "/unload"), ("DELETE", "")):
        answer = await client.request(method, f"{MODEL}/versions/9{path}")
        check(answer, 404, "version_not_found", "version")
    check(await client.put("/v1/models/nothing/default", json={"version": 1}), 404, "model_not_found", "name")


async def test_a_version_is_promoted_and_rolled_back(store_root: Path, serve: Serve) -> None:
    async with serve(store_root) as client:
        assert await served_version(client) == 1
        promoted = await client.put(f"{MODEL}/default", json={"version": 2, "expected": 1})
        assert promoted.status_code == 200, promoted.text
        body = promoted.json()
        assert (body["default_version"], body["previous_default_version"]) == (2, 1)
        assert [each["state"] for each in body["versions"]] == ["ready", "ready"]
        assert await served_version(client) == 2
        stale = await client.put(f"{MODEL}/default", json={"version": 1, "expected": 1})
        check(stale, 409, "default_changed", "expected")
        back = await client.put(f"{MODEL}/default", json={"version": 1})
        assert back.json()["previous_default_version"] == 2
        assert await served_version(client) == 1


async def test_a_promotion_survives_a_restart_and_reaches_other_replicas(store_root: Path, serve: Serve) -> None:
    async with serve(store_root) as client, serve(store_root) as replica:
        await client.put(f"{MODEL}/default", json={"version": 2})
        await until(replica, MODEL, "default_version", 2)
        assert await served_version(replica) == 2
    async with serve(store_root) as restarted:
        assert await served_version(restarted) == 2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "version"),
        ({"version": "2"}, "version"),
        ({"version": 0}, "version"),
        ({"version": 2, "expcted": 1}, "expcted"),
    ],
)
async def test_a_promotion_of_another_shape_is_refused(client: Client, body: Any, param: str) -> None:
    check(await client.put(f"{MODEL}/default", json=body), 422, "invalid_parameter", param)
    assert (await client.get(MODEL)).json()["default_version"] == 1


async def test_a_promotion_is_json(client: Client) -> None:
    check(await client.put(f"{MODEL}/default", content=b"{", headers={"Content-Type": "application/json"}), 400,
          "invalid_json", None)  # fmt: skip
    check(await client.put(f"{MODEL}/default", content=b"{}"), 415, "unsupported_media_type", None)


async def test_a_broken_version_is_failed_and_is_not_promoted(store_root: Path, serve: Serve) -> None:
    (store_root / "tiny-image" / "2" / "model.pt").write_bytes(b"broken")
    async with serve(store_root) as client:
        check(await client.put(f"{MODEL}/default", json={"version": 2}), 409, "version_not_ready", "version")
        version = (await client.get(f"{MODEL}/versions/2")).json()
        assert version["state"] == "failed"
        assert version["error"]
        assert str(store_root) not in version["error"]
        assert version["card"] is None
        check(await client.post(f"{MODEL}/versions/2/load"), 503, "model_failed_to_load", "version")
        assert await served_version(client) == 1


async def test_a_version_is_loaded_unloaded_and_deleted(store_root: Path, serve: Serve) -> None:
    async with serve(store_root) as client:
        loaded = await client.post(f"{MODEL}/versions/2/load")
        assert (loaded.status_code, loaded.json()["state"]) == (200, "ready")
        unloaded = await client.post(f"{MODEL}/versions/2/unload")
        assert (unloaded.status_code, unloaded.json()["state"]) == (200, "available")
        gone = await client.delete(f"{MODEL}/versions/2")
        assert gone.json() == {"name": "tiny-image", "version": 2, "object": "model.version", "deleted": True}
        check(await client.get(f"{MODEL}/versions/2"), 404, "version_not_found", "version")
        assert not (store_root / "tiny-image" / "2").exists()


async def test_the_default_is_neither_unloaded_nor_deleted(store_root: Path, serve: Serve) -> None:
    async with serve(store_root) as client:
        check(await client.post(f"{MODEL}/versions/1/unload"), 409, "version_in_use", "version")
        check(await client.delete(f"{MODEL}/versions/1"), 409, "version_in_use", "version")
        assert await served_version(client) == 1


async def test_a_version_in_a_folder_that_is_only_read_is_not_deleted(store_root: Path, serve: Serve) -> None:
    async with serve(store_root, model_store=(store_root.parent / "mine", store_root)) as client:
        check(await client.delete(f"{MODEL}/versions/2"), 409, "version_read_only", "version")
        assert (await client.put(f"{MODEL}/default", json={"version": 2})).json()["default_version"] == 2
        assert (await client.get(f"{MODEL}/history")).json()["data"][0]["action"] == "promote"
        assert await served_version(client) == 2


async def test_a_version_that_appears_is_seen_at_once(store_root: Path, serve: Serve) -> None:
    async with serve(store_root) as client:
        folder = store_root / "tiny-image"
        shutil.copytree(folder / "2", folder / ".new")
        (folder / ".new").rename(folder / "3")
        assert (await client.get(f"{MODEL}/versions/3")).status_code == 200
        answer = await client.post(f"{MODEL}/predict?version=3", json=INPUT)
        assert answer.json()["version"] == 3
        shutil.copytree(folder, store_root / "another")
        assert (await client.get("/v1/models/another")).json()["default_version"] == 1
