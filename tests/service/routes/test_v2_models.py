import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.service.serving import Client, Serve

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def got(client: Client, path: str, status: int = 200) -> Any:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


async def posted(client: Client, path: str, status: int = 200, **body: Any) -> str:
    answer = await client.post(f"/v2/repository/{path}", json=body or None)
    assert answer.status_code == status, answer.text
    return "" if status == 200 else str(answer.json()["error"])


async def test_the_server_says_what_it_is(client: Client) -> None:
    server = await got(client, "/v2")
    assert (server["name"], server["extensions"]) == ("stl-snn", ["binary_tensor_data", "model_repository"])
    assert await got(client, "/v2/health/live") == {"live": True}
    assert await got(client, "/v2/health/ready") == {"ready": True}


async def test_a_model_says_which_tensors_it_takes_and_gives(client: Client) -> None:
    image = await got(client, "/v2/models/tiny-image")
    assert (image["name"], image["versions"], image["platform"]) == ("tiny-image", ["1", "2"], "stl_snn")
    assert image["inputs"] == [
        {"name": "image", "datatype": "BYTES", "shape": [-1]},
        {"name": "pixels", "datatype": "UINT8", "shape": [-1, 1, 8, 8]},
    ]
    assert {"name": "scores", "datatype": "FP64", "shape": [-1, 10]} in image["outputs"]
    assert await got(client, "/v2/models/tiny-image/versions/2") == image
    events = await got(client, "/v2/models/tiny-events")
    assert events["inputs"] == [
        {"name": "recording", "datatype": "BYTES", "shape": [-1]},
        {"name": "events", "datatype": "INT64", "shape": [-1, 5]},
    ]
    assert "error" in await got(client, "/v2/models/tiny-imag", 404)
    assert "error" in await got(client, "/v2/models/tiny-image/versions/9", 404)
    assert "error" in await got(client, "/v2/models/tiny-image/versions/one", 422)


async def test_versions_come_into_memory_and_leave_it(store_root: Path, serve: Serve) -> None:
    shutil.copytree(store_root / "tiny-image" / "1", store_root / "broken" / "1")
    (store_root / "broken" / "1" / "model.pt").write_bytes(b"PK")
    async with serve(store_root) as client:
        assert await got(client, "/v2/models/tiny-image/ready") == {"name": "tiny-image", "ready": True}
        second = "/v2/models/tiny-image/versions/2/ready"
        assert "not in memory" in (await got(client, second, 503))["error"]
        await posted(client, "models/tiny-image/load", parameters={"version": 2})
        assert (await got(client, second))["ready"]
        await posted(client, "models/tiny-image/unload", parameters={"version": 2, "unload_dependents": False})
        assert "error" in await got(client, second, 503)
        assert "is the default" in await posted(client, "models/tiny-image/unload", 409)
        await posted(client, "models/tiny-image/load")

        assert "failed to load" in (await got(client, "/v2/models/broken", 503))["error"]
        assert "failed to load" in (await got(client, "/v2/models/broken/ready", 503))["error"]
        assert await posted(client, "models/broken/load", 503)
        for body in ({"config": "{}"}, {"version": "2"}, {"version": 0}):
            assert "version" in await posted(client, "models/tiny-image/load", 422, parameters=body)


async def test_the_index_lists_every_version_with_its_state(store_root: Path, serve: Serve) -> None:
    shutil.copytree(store_root / "tiny-image" / "1", store_root / "broken" / "1")
    (store_root / "broken" / "1" / "model.pt").write_bytes(b"PK")
    async with serve(store_root) as client:
        index = (await client.post("/v2/repository/index")).json()
        states = {(each["name"], each["version"]): (each["state"], each["reason"]) for each in index}
        assert states["tiny-image", "1"] == ("READY", "")
        assert states["tiny-image", "2"] == ("UNAVAILABLE", "not in memory; it loads on its first request")
        assert states["broken", "1"][0] == "UNAVAILABLE"
        assert states["broken", "1"][1]
        ready = (await client.post("/v2/repository/index", json={"ready": True})).json()
        assert {each["state"] for each in ready} == {"READY"}
        assert (await client.post("/v2/repository/index", content=b" " * 70_000)).status_code == 413
