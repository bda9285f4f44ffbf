import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from contract.settings import Settings
from service.app import create_app
from tests.contract.datasets.archives import IMAGES, RECORDINGS, packed
from tests.disk import small_disk
from tests.service.exchange import Exchange
from tests.service.serving import Client, Serve, check

FILES = "/v1/files"
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
PURPOSE = b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n'
END = b"\r\n--x--\r\n"


@pytest.fixture
async def own(store_root: Path, serve: Serve) -> AsyncIterator[Client]:
    """A client of a service that nobody else uploads to."""
    async with serve(store_root) as running:
        yield running


@pytest.fixture
def pets(tmp_path: Path) -> bytes:
    return packed(tmp_path / "pets.zip", IMAGES).read_bytes()


async def upload(client: Client, data: bytes, name: str = "pets.zip", **fields: Any) -> httpx.Response:
    return await client.post(FILES, files={"file": (name, data)}, data={"purpose": "fine-tune"} | fields)


def left(client: Client) -> list[str]:
    """What the service keeps of uploads."""
    root = client.runtime.settings.data_dir
    return sorted(path.name for folder in ("files", "uploads") for path in (root / folder).glob("*") if path.is_file())


async def test_an_upload_is_checked_kept_and_told(own: Client, pets: bytes) -> None:
    answer = await upload(own, pets)

    assert answer.status_code == 200, answer.text
    body = answer.json()
    identity, created = body.pop("id"), body.pop("created_at")
    assert identity.startswith("file-")
    assert type(created) is int
    assert body == {
        "object": "file",
        "bytes": len(pets),
        "filename": "pets.zip",
        "purpose": "fine-tune",
        "status": "processed",
        "dataset": {
            "kind": "image",
            "samples": 6,
            "classes": {"cat": 3, "dog": 3},
            "class_count": 2,
            "sha256": hashlib.sha256(pets).hexdigest(),
        },
    }
    assert (await own.get(f"{FILES}/{identity}")).json() == answer.json()
    content = await own.get(f"{FILES}/{identity}/content")
    assert content.content == pets
    assert content.headers["content-type"] == "application/octet-stream"
    assert content.headers["content-disposition"] == "attachment; filename*=utf-8''pets.zip"


async def test_recordings_and_arrays_are_taken_too(own: Client, tmp_path: Path) -> None:
    bars = await upload(own, packed(tmp_path / "bars.zip", RECORDINGS).read_bytes())
    assert bars.json()["dataset"]["kind"] == "events"
    stream = io.BytesIO()
    np.savez(stream, x=np.zeros((4, 8, 8), np.uint8), y=[3, 1, 1, 3])
    arrays = await upload(own, stream.getvalue(), "set.npz")
    assert arrays.json()["dataset"]["classes"] == {"1": 2, "3": 2}


async def test_the_parts_of_the_form_may_come_in_any_order_and_any_pieces(own: Client, pets: bytes) -> None:
    forms = (PURPOSE + HEAD + pets + END, HEAD + pets + b"\r\n" + PURPOSE.removesuffix(b"\r\n") + END)
    for form in forms:
        for size in (1, 7, 10_000):

            async def pieces(form: bytes = form, size: int = size) -> AsyncIterator[bytes]:
                for start in range(0, len(form), size):
                    yield form[start : start + size]

            answer = await own.post(FILES, content=pieces(), headers=FORM)
            assert answer.status_code == 200, answer.text
            assert answer.json()["dataset"]["sha256"] == hashlib.sha256(pets).hexdigest()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Zahlen é.zip", "Zahlen é.zip"),
        ("C:\\data\\a.zip", "a.zip"),
        ("../../etc/a.zip", "a.zip"),
        ('a"; filename=b.zip', 'a"; filename=b.zip'),
    ],
)
async def test_a_name_is_kept_without_its_folders(own: Client, pets: bytes, sent: str, kept: str) -> None:
    disposition = sent.replace("\\", "\\\\").replace('"', '\\"')
    form = PURPOSE + HEAD.replace(b"a.zip", disposition.encode()) + pets + END
    answer = await own.post(FILES, content=form, headers=FORM)

    assert answer.json()["filename"] == kept, answer.text
    content = await own.get(f"{FILES}/{answer.json()['id']}/content")
    assert httpx.URL("http://x/?" + content.headers["content-disposition"].split("''")[1]).query.decode().isascii()


async def test_lists_have_pages(own: Client, pets: bytes) -> None:
    empty = {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}
    assert (await own.get(FILES)).json() == empty
    made = [(await upload(own, pets)).json()["id"] for _ in range(5)]
    newest = made[::-1]

    async def page(**query: Any) -> tuple[list[str], bool]:
        answer = (await own.get(FILES, params=query)).json()
        ids = [file["id"] for file in answer["data"]]
        assert (answer["first_id"], answer["last_id"]) == (ids[0], ids[-1])
        return ids, answer["has_more"]

    assert await page() == (newest, False)
    assert await page(order="asc", purpose="fine-tune") == (made, False)
    assert await page(limit=2) == (newest[:2], True)
    assert await page(limit=2, after=newest[1]) == (newest[2:4], True)
    assert await page(limit=2, after=newest[2]) == (newest[3:], False)
    assert await page(limit=2, after=made[1], order="asc") == (made[2:4], True)
    assert (await own.get(FILES, params={"after": newest[-1]})).json() == empty
    assert (await own.get(FILES, params={"purpose": "batch"})).json() == empty
    check(await own.get(FILES, params={"after": "file-0"}), 404, "file_not_found", "after")
    for limit in (0, 10_001, "x"):
        check(await own.get(FILES, params={"limit": limit}), 422, "invalid_parameter", "limit")
    check(await own.get(FILES, params={"order": "up"}), 422, "invalid_parameter", "order")


async def test_lists_show_some_classes_and_pages_end(
    own: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.BytesIO()
    np.savez(stream, x=np.zeros((24, 8, 8), np.uint8), y=[*range(12)] * 2)
    for _ in range(2):
        made = (await upload(own, stream.getvalue(), "set.npz")).json()
    assert (len(made["dataset"]["classes"]), made["dataset"]["class_count"]) == (12, 12)
    assert (await own.get(f"{FILES}/{made['id']}")).json() == made

    monkeypatch.setattr("service.routes.files.MAX_PAGE", 1)
    page = (await own.get(FILES, params={"limit": 10_000})).json()

    [listed] = page["data"]
    assert page["has_more"]
    assert (len(listed["dataset"]["classes"]), listed["dataset"]["class_count"]) == (10, 12)


async def test_a_deleted_file_is_gone(own: Client, pets: bytes) -> None:
    first, second = [(await upload(own, pets)).json()["id"] for _ in range(2)]

    answer = await own.delete(f"{FILES}/{first}")

    assert answer.json() == {"id": first, "object": "file", "deleted": True}
    for method, path in (("GET", first), ("GET", f"{first}/content"), ("DELETE", first)):
        check(await own.request(method, f"{FILES}/{path}"), 404, "file_not_found", "file_id")
    assert (await own.get(f"{FILES}/{second}/content")).content == pets
    await own.delete(f"{FILES}/{second}")
    assert left(own) == []


async def test_a_content_that_is_gone_is_told(own: Client, pets: bytes) -> None:
    made = (await upload(own, pets)).json()
    (own.runtime.settings.data_dir / "files" / made["dataset"]["sha256"]).unlink()

    check(await own.get(f"{FILES}/{made['id']}/content"), 404, "file_not_found", "file_id")


@pytest.mark.parametrize(
    ("form", "param"),
    [
        (PURPOSE + b"--x--\r\n", "file"),
        (HEAD + b"x" + END, "purpose"),
        (PURPOSE.replace(b"fine-tune", b"assistants") + HEAD + b"x" + END, "purpose"),
        (PURPOSE.replace(b"fine-tune", b"fine") + HEAD + b"x" + END, "purpose"),
        (PURPOSE.replace(b"fine-tune", b"") + HEAD + b"x" + END, "purpose"),
        (PURPOSE + PURPOSE + HEAD + b"x" + END, "purpose"),
        (PURPOSE + HEAD + b"x\r\n" + HEAD + b"y" + END, "file"),
        (PURPOSE + HEAD.replace(b'; filename="a.zip"', b"") + b"x" + END, "file"),
        (PURPOSE + HEAD.replace(b"a.zip", b"") + b"x" + END, "file"),
        (PURPOSE + HEAD.replace(b"a.zip", b"a" * 201) + b"x" + END, "file"),
        (PURPOSE + HEAD.replace(b"a.zip", b"a\x1b.zip") + b"x" + END, "file"),
        (PURPOSE + HEAD.replace(b"a.zip", b"..") + b"x" + END, "file"),
        (PURPOSE.replace(b"purpose", b"extra") + HEAD + b"x" + END, "extra"),
        (PURPOSE.replace(b' name="purpose"', b"") + HEAD + b"x" + END, ""),
    ],
)
async def test_a_form_must_have_one_file_and_its_purpose(own: Client, form: bytes, param: str) -> None:
    check(await own.post(FILES, content=form, headers=FORM), 422, "invalid_parameter", param)
    assert left(own) == []


@pytest.mark.parametrize(
    "form",
    [b"", b"garbage", PURPOSE + HEAD + b"x", PURPOSE + HEAD + b"x\r\n--x", PURPOSE + b"--x\r\nno header\r\n\r\n"],
)
async def test_what_is_no_form_is_told(own: Client, form: bytes) -> None:
    check(await own.post(FILES, content=form, headers=FORM), 400, "bad_request", None)
    assert left(own) == []


async def test_a_boundary_must_be_named(own: Client) -> None:
    for parameters in ("", "; boundary=", "; boundary=" + "x" * 500):
        headers = {"Content-Type": "multipart/form-data" + parameters}
        check(await own.post(FILES, content=PURPOSE + HEAD + b"x" + END, headers=headers), 400, "bad_request", None)


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", "application/zip", "text/plain"])
async def test_only_forms_are_taken(own: Client, kind: str) -> None:
    answer = await own.post(FILES, content=b"{}", headers={"Content-Type": kind})
    check(answer, 415, "unsupported_media_type", None)


async def test_a_bad_data_set_is_refused_by_the_members_name_and_not_kept(own: Client, tmp_path: Path) -> None:
    broken = packed(tmp_path / "broken.zip", IMAGES | {"dog/bad.png": IMAGES["dog/0.png"][:50]}).read_bytes()
    bomb = packed(tmp_path / "bomb.zip", IMAGES | {"dog/bomb.bmp": bytes(20_000_000)}).read_bytes()

    assert "'dog/bad.png'" in check(await upload(own, broken), 422, "invalid_dataset", "file")
    assert "'dog/bomb.bmp'" in check(await upload(own, bomb), 413, "archive_too_large", "file")
    assert "neither a .zip nor" in check(await upload(own, b"hello"), 422, "invalid_dataset", "file")
    assert left(own) == []


async def test_the_limit_of_uploads_is_their_own(store_root: Path, serve: Serve, pets: bytes) -> None:
    async with serve(store_root, max_body_bytes=100, max_upload_bytes=len(pets) + 1000) as client:
        assert (await upload(client, pets)).status_code == 200

        async def pieces() -> AsyncIterator[bytes]:
            yield PURPOSE + HEAD
            for _ in range(10):
                yield bytes(1000)

        before = left(client)
        check(await upload(client, pets + bytes(1000)), 413, "body_too_large", None)
        check(await client.post(FILES, content=pieces(), headers=FORM), 413, "body_too_large", None)
        check(await client.post(f"{FILES}/x", content=bytes(101)), 413, "body_too_large", None)
        assert left(client) == before


async def test_an_upload_beyond_the_space_for_uploads_is_refused_before_its_body_is_read(
    store_root: Path, serve: Serve, pets: bytes
) -> None:
    async with serve(store_root, max_stored_bytes=2 * len(pets)) as client:
        assert (await upload(client, pets)).status_code == 200
        before = left(client)

        async def pieces(size: int) -> AsyncIterator[bytes]:
            yield PURPOSE + HEAD + bytes(size)

        announced = FORM | {"Content-Length": str(3 * len(pets))}
        answer = await client.post(FILES, content=pieces(0), headers=announced)  # refused for what it announces
        check(answer, 507, "insufficient_storage", None)
        answer = await client.post(FILES, content=pieces(2 * 1024 * 1024), headers=FORM)
        check(answer, 507, "insufficient_storage", None)
        assert left(client) == before


async def test_a_full_disk_is_told_and_nothing_is_left(
    store_root: Path, serve: Serve, tmp_path: Path, pets: bytes
) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        async with serve(store_root, data_dir=disk) as client:
            check(await upload(client, bytes(3_000_000)), 507, "insufficient_storage", None)
            assert left(client) == []
            assert (await upload(client, pets)).status_code == 200


# What takes its time


@asynccontextmanager
async def running(store: Path, **settings: Any) -> AsyncIterator[FastAPI]:
    app = create_app(Settings(model_store=store, device="cpu", preload=(), data_dir=store.parent / "data", **settings))
    async with app.router.lifespan_context(app):
        yield app


class Stuck(Exchange):
    """A client that takes the head of an answer and no more."""

    async def _send(self, message: dict[str, Any]) -> None:
        await super()._send(message)
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)


SUBSTANCE = 64 * 1024


def half(app: FastAPI, **headers: str) -> Exchange:
    """An upload that has begun."""
    exchange = Exchange(app, FILES, headers=FORM | headers)
    exchange.send(PURPOSE + HEAD, more=True)
    return exchange


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.002)


async def test_an_upload_may_take_longer_than_a_request_but_must_go_on(store_root: Path, pets: bytes) -> None:
    async with running(store_root, request_timeout_ms=300) as app:
        slow = half(app)
        for start in range(0, len(pets), len(pets) // 8):
            await asyncio.sleep(0.1)
            slow.send(pets[start : start + len(pets) // 8], more=True)
        slow.send(END)  # whose check takes longer than 300 ms too, by the start of its process
        assert (await slow.answer())[0] == 200

        stalled = half(app)
        status, headers, body = await stalled.answer()
        assert (status, body["error"]["code"], headers["connection"]) == (408, "request_timeout", "close")
        hurried = half(app, **{"X-Request-Timeout-Ms": "20"})
        assert (await hurried.answer())[0] == 408
        assert len(list((store_root.parent / "data" / "files").iterdir())) == 1


async def test_a_client_who_leaves_while_sending_or_while_it_is_checked_leaves_nothing(
    store_root: Path, pets: bytes
) -> None:
    async with running(store_root) as app:
        folder = store_root.parent / "data" / "files"
        sending = half(app)
        sending.send(bytes(SUBSTANCE), more=True)
        await until(lambda: folder.is_dir() and list(folder.iterdir()))
        sending.hang_up()
        await asyncio.wait_for(sending.task, 10)
        assert list(folder.iterdir()) == []

        checked = half(app)
        checked.send(pets + END)
        await until(lambda: list(folder.iterdir()))
        checked.hang_up()
        await asyncio.wait_for(checked.task, 10)
        assert list(folder.iterdir()) == []
        assert not checked.is_answered


async def test_too_many_uploads_at_a_time_are_refused_at_once(store_root: Path, pets: bytes) -> None:
    async with running(store_root) as app:
        open_ones = [half(app) for _ in range(12)]  # of one client
        for each in open_ones:
            each.send(bytes(SUBSTANCE), more=True)
        await until(lambda: all(each.reads == 3 for each in open_ones))
        refused = half(app)
        refused.send(bytes(SUBSTANCE), more=True)
        status, headers, body = await refused.answer()
        assert (status, body["error"]["code"], headers["retry-after"]) == (429, "overloaded", "1")
        assert refused.reads == 2
        for each in open_ones:
            each.hang_up()
            await asyncio.wait_for(each.task, 10)
        again = half(app)
        again.send(pets + END)
        assert (await again.answer())[0] == 200


async def test_uploads_that_have_hardly_begun_take_no_place_and_little_memory(store_root: Path, pets: bytes) -> None:
    async with running(store_root) as app:
        open_ones = [half(app) for _ in range(40)]
        for each in open_ones:
            each.send(bytes(SUBSTANCE - 1000), more=True)
        await until(lambda: all(each.reads == 3 for each in open_ones))
        assert not (store_root.parent / "data" / "files").exists()
        assert app.state.runtime.predictor.admission.bytes <= 40 * SUBSTANCE
        honest = half(app)
        honest.send(pets + END)
        assert (await honest.answer())[0] == 200
        open_ones[0].send(bytes(10 * SUBSTANCE), more=True)
        await until(lambda: open_ones[0].reads == 4)
        assert app.state.runtime.predictor.admission.bytes <= 40 * SUBSTANCE
        for each in open_ones:
            each.hang_up()
            await asyncio.wait_for(each.task, 10)
        assert app.state.runtime.predictor.admission.bytes == 0


async def test_a_download_that_is_broken_off_by_the_end_of_the_service_ends(store_root: Path, pets: bytes) -> None:
    async with running(store_root) as app:
        made = half(app)
        made.send(pets + END)
        identity = (await made.answer())[2]["id"]
        download = Stuck(app, f"{FILES}/{identity}/content", method="GET")
        download.send(b"")
        await until(lambda: len(download._answer) == 2)
        app.state.runtime.predictor.admission.close()
        await asyncio.wait_for(download.task, 10)
        assert [message["type"] for message in download._answer] == ["http.response.start", "http.response.body"]
