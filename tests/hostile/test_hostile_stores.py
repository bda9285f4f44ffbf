"""Versions that are broken, half there, linked or changing: they fail, and harm no other."""

import os
import shutil
import struct
import threading
from pathlib import Path
from typing import Any

from tests.hostile.refusals import GOOD, IMAGE, check_refused, check_shows_no_inside, check_still_answers
from tests.service.serving import Client, serving


async def version(client: Client, name: str, number: int) -> dict[str, Any]:
    answer = await client.post(f"/v1/models/{name}/versions/{number}/load")
    check_refused(answer, 503, "model_failed_to_load", "version")
    found = (await client.get(f"/v1/models/{name}/versions/{number}")).json()
    assert found["state"] == "failed"
    check_shows_no_inside(found["error"])
    return dict(found)


async def test_broken_versions_fail_and_harm_no_other(store_root: Path) -> None:
    whole = (store_root / "tiny-image" / "1" / "model.pt").read_bytes()
    async with serving(store_root) as client:
        folder = store_root / "tiny-image"
        for number, data in enumerate(
            (b"", whole[:1000], bytes(1000), whole[:-30], b"PK\x03\x04", struct.pack("<I", 2**31)), start=10
        ):
            (folder / str(number)).mkdir()
            (folder / str(number) / "model.pt").write_bytes(data)
            await version(client, "tiny-image", number)
        (folder / "20" / "model.pt").mkdir(parents=True)
        (folder / "21").mkdir()
        (folder / "22").mkdir()
        os.mkfifo(folder / "22" / "model.pt")
        for number in (20, 21, 22):
            await version(client, "tiny-image", number)
        await check_still_answers(client)
        listed = (await client.get("/v1/models/tiny-image")).json()
        assert listed["default_version"] == 1
        assert [each["version"] for each in listed["versions"]] == [1, 2, *range(10, 16), 20, 21, 22]


async def test_a_pointer_that_is_none_harms_no_other_model(store_root: Path) -> None:
    async with serving(store_root) as client:
        for name, make in (("tiny-direct", Path.mkdir), ("tiny-events", os.mkfifo)):
            (store_root / name / "default.json").unlink(missing_ok=True)
            make(store_root / name / "default.json")
        shutil.copytree(store_root / "tiny-image", store_root / "another")
        assert (await client.post(IMAGE.replace("tiny-image", "another"), json=GOOD)).status_code == 200
        assert (await client.get("/v1/models/tiny-direct")).status_code == 200
        await check_still_answers(client)


async def test_a_link_out_of_the_store_is_not_followed(store_root: Path, tmp_path: Path) -> None:
    outside = shutil.copytree(store_root / "tiny-image", tmp_path / "outside")
    folder = store_root / "tiny-image"
    (store_root / "linked").symlink_to(outside)
    (folder / "30").symlink_to(outside / "1")
    (folder / "31").mkdir()
    (folder / "31" / "model.pt").symlink_to(outside / "1" / "model.pt")
    (folder / "32").symlink_to(folder / "32")
    async with serving(store_root) as client:
        for number in (30, 31, 32):
            answer = await client.post(f"/v1/models/tiny-image/versions/{number}/load")
            check_refused(answer, 404, "version_not_found", "version")
        answer = await client.post("/v1/models/linked/predict", json=GOOD)
        check_refused(answer, 404, "model_not_found", "name")
        await check_still_answers(client)


async def test_a_half_written_version_fails_and_is_served_once_it_is_whole(store_root: Path) -> None:
    whole = (store_root / "tiny-image" / "2" / "model.pt").read_bytes()
    path = store_root / "tiny-image" / "7" / "model.pt"
    path.parent.mkdir()
    path.write_bytes(whole[: len(whole) // 2])
    async with serving(store_root) as client:
        await version(client, "tiny-image", 7)
        path.write_bytes(whole)
        assert (await client.post("/v1/models/tiny-image/versions/7/load")).status_code == 200
        answer = await client.post(f"{IMAGE}?version=7", json=GOOD)
        assert answer.status_code == 200


async def scores(client: Client, version: int) -> list[dict[str, float]]:
    """The scores and spikes of a version."""
    answer = await client.post(f"{IMAGE}?version={version}", json=GOOD)
    return [{"score": each["score"], "spikes": each["spikes"]["total"]} for each in answer.json()["predictions"]]


async def test_a_version_replaced_while_it_loads_is_one_of_the_two_or_fails(store_root: Path) -> None:
    files = [(store_root / "tiny-image" / str(number) / "model.pt").read_bytes() for number in (1, 2)]
    path = store_root / "tiny-image" / "7" / "model.pt"
    path.parent.mkdir()
    path.write_bytes(files[0])
    stop = threading.Event()

    def replace() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            path.write_bytes(files[turn % 2])  # in place, so that readers may see halves

    async with serving(store_root) as client:
        expected = [await scores(client, number) for number in (1, 2)]
        writer = threading.Thread(target=replace)
        writer.start()
        try:
            for _ in range(15):
                answer = await client.post("/v1/models/tiny-image/versions/7/load")
                if answer.status_code != 200:
                    check_refused(answer, 503, "model_failed_to_load", "version")
                    continue
                assert await scores(client, 7) in expected
                assert (await client.post("/v1/models/tiny-image/versions/7/unload")).status_code == 200
        finally:
            stop.set()
            writer.join()
        await check_still_answers(client)
