import time
from pathlib import Path
from typing import Any

from tests.service.serving import Client, Serve, check

MODEL = "/v1/models/tiny-image"
HISTORY = f"{MODEL}/history"


async def promote(client: Client, version: int) -> None:
    answer = await client.put(f"{MODEL}/default", json={"version": version})
    assert answer.status_code == 200, answer.text


async def test_promotions_and_deletions_are_told_the_newest_first(store_root: Path, serve: Serve) -> None:
    async with serve(store_root) as client:
        published = (await client.get(HISTORY)).json()["data"]
        assert {(each["action"], each["version"]) for each in published} == {("publish", 1), ("publish", 2)}
        before = time.time()
        for version in (2, 1):
            await promote(client, version)
        assert (await client.delete(f"{MODEL}/versions/2")).status_code == 200

        body = (await client.get(HISTORY)).json()

        newest = body["data"][:3]
        assert [(each["action"], each["version"], each["previous"]) for each in newest] == [
            ("delete", 2, None),
            ("promote", 1, 2),
            ("promote", 2, 1),
        ]
        assert all(before <= each["created_at"] <= time.time() for each in newest)
        assert body["data"][3:] == published
        assert (body["object"], body["has_more"]) == ("list", False)
        assert (body["first_id"], body["last_id"]) == (body["data"][0]["id"], body["data"][-1]["id"])


async def test_a_history_has_pages_that_stay_while_it_grows(store_root: Path, serve: Serve) -> None:
    async with serve(store_root) as client:
        for version in (2, 1, 2, 1):
            await promote(client, version)
        whole = [each["id"] for each in (await client.get(HISTORY)).json()["data"]]

        async def page(**query: Any) -> tuple[list[str], bool]:
            body = (await client.get(HISTORY, params=query)).json()
            return [each["id"] for each in body["data"]], body["has_more"]

        assert await page(limit=2) == (whole[:2], True)
        await promote(client, 2)
        assert await page(limit=2, after=whole[1]) == (whole[2:4], True)
        assert await page(limit=9, after=whole[3]) == (whole[4:], False)
        assert await page(after=whole[-1]) == ([], False)


async def test_what_has_no_history_is_told(client: Client) -> None:
    check(await client.get("/v1/models/none/history"), 404, "model_not_found", "name")
    check(await client.get(HISTORY, params={"after": "change-999"}), 422, "invalid_parameter", "after")
    check(await client.get(HISTORY, params={"limit": 0}), 422, "invalid_parameter", "limit")
