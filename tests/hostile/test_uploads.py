"""Uploads that are too large, too slow, too many or mean harm, to a service of its own process."""

import io
import os
import struct
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from contract.datasets import zip_archive
from tests.contract.datasets.archives import IMAGES, image, packed
from tests.hostile.refusals import check_refused
from tests.hostile.server import Server, code_of, head, started

FILES = "/v1/files"
MB = 1024 * 1024
LIMIT = 256 * MB
CHUNKED = "Transfer-Encoding: chunked"
FORM = "multipart/form-data; boundary=x"
START = (
    b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n'
)
END = b"\r\n--x--\r\n"


@pytest.fixture(scope="module")
def own(tiny_store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that nobody else uploads to."""
    folder = tmp_path_factory.mktemp("uploads")
    settings = {"MODEL_STORE": str(tiny_store_root), "DATA_DIR": str(folder / "data"), "PRELOAD": "tiny-image"}
    with started(folder / "log", MAX_UPLOAD_BYTES=str(LIMIT), REQUEST_TIMEOUT_MS="2000", **settings) as server:
        yield server


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def post(server: Server, data: bytes, name: str = "set.zip") -> httpx.Response:
    url = f"http://127.0.0.1:{server.port}{FILES}"
    return httpx.post(url, files={"file": (name, data)}, data={"purpose": "fine-tune"}, timeout=120)


def kept(server: Server) -> list[str]:
    """What lies in the folder of contents, once no upload is under way."""
    folder = server.log.parent / "data" / "files"
    ends = time.monotonic() + 30
    while True:
        found = sorted(path.name for path in folder.glob("*"))
        if not any(name.startswith(".") for name in found) or time.monotonic() > ends:
            return found
        time.sleep(0.05)


def refused(server: Server, data: bytes, status: int, code: str, name: str = "set.zip") -> str:
    """Upload what must be refused, of which nothing may be kept."""
    before = kept(server)
    message = check_refused(post(server, data, name), status, code, "file")
    assert kept(server) == before
    server.check_still_answers()
    return message


def test_an_upload_announced_too_large_is_refused_before_it_is_sent(own: Server) -> None:
    sent = [head(FILES, f"Content-Length: {LIMIT + 1}", kind=FORM)]
    assert code_of(own.send(sent)) == (413, "body_too_large")
    own.check_still_answers()


def test_an_upload_that_turns_out_too_large_is_cut_in_bounded_memory(own: Server) -> None:
    piece = chunk(bytes(MB))
    with own.growing_less_than(40):
        sent = [head(FILES, CHUNKED, kind=FORM), chunk(START), *[piece] * (LIMIT // MB + 1)]
        assert code_of(own.send(sent)) == (413, "body_too_large")
    assert kept(own) == []
    own.check_still_answers()


def test_a_large_upload_is_never_in_memory(own: Server) -> None:
    noise = os.urandom(MB)
    with own.growing_less_than(40):
        sent = [head(FILES, CHUNKED, kind=FORM), chunk(START), *[chunk(noise)] * 200, chunk(END), chunk(b"")]
        assert code_of(own.send(sent)) == (422, "invalid_dataset")
    assert kept(own) == []


def test_an_upload_that_stalls_is_given_up(own: Server) -> None:
    with own.connect() as connection:
        connection.sendall(head(FILES, "Content-Length: 1000", kind=FORM) + START)
        started_at = time.monotonic()
        connection.settimeout(30)
        text = connection.recv(65536)
    assert b" 408 " in text.splitlines()[0]
    assert 1.5 < time.monotonic() - started_at < 15
    assert kept(own) == []


@pytest.mark.parametrize(
    "sent", [b"", START[:40], START, START + bytes(3 * MB), START + bytes(MB) + b"\r\n--x"], ids=range(5)
)
def test_clients_who_hang_up_leave_nothing(own: Server, sent: bytes) -> None:
    for _ in range(20):
        with own.connect() as connection:
            connection.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: close with a reset
            connection.sendall(head(FILES, f"Content-Length: {10 * MB}", kind=FORM) + sent)
    assert kept(own) == []
    own.check_still_answers()


def test_a_form_of_many_parts_or_long_heads_is_refused_early(own: Server) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="p"\r\n\r\n1\r\n'
    line = b"--x\r\n" + b"X-Long: " + b"a" * 5000 + b"\r\n"
    lines = b"--x\r\n" + b"X-More: a\r\n" * 100
    purpose = START[: START.index(b"fine-tune")] + b"f" * MB
    for body, status in ((part * 10_000, 422), (line * 100, 400), (lines * 100, 400), (purpose, 422)):
        with own.growing_less_than(40):
            answer = own.send([head(FILES, f"Content-Length: {len(body)}", kind=FORM), body])
            assert answer[0] == status, answer
    assert kept(own) == []


def bomb(**sizes: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in sizes.items():
            archive.writestr(f"cat/{name}.png", bytes(size))
    return stream.getvalue()


def test_bombs_do_not_go_off(own: Server) -> None:
    with own.growing_less_than(40):
        assert "200 times" in refused(own, bomb(a=300 * MB), 413, "archive_too_large")
        assert "200 times" in refused(own, bomb(**{f"a{n}": 15 * MB for n in range(20)}), 413, "archive_too_large")


def test_many_members_are_refused_before_they_fill_the_memory(own: Server, tmp_path: Path) -> None:
    data = packed(tmp_path / "set.zip", IMAGES).read_bytes()
    start = data.index(b"PK\1\2")
    entry = data[start : data.index(b"PK\1\2", start + 1)]
    count = 100 * MB // len(entry)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, count * len(entry), start, 0)
    assert "directory" in refused(own, data[:start] + entry * count + end, 413, "archive_too_large")


@pytest.mark.parametrize("name", ["../../../tmp/owned.png", "/tmp/owned.png", "cat/../../x.png", "C:\\x.png"])
def test_nothing_is_written_by_a_members_name(own: Server, tmp_path: Path, name: str) -> None:
    data = packed(tmp_path / "bad.zip", IMAGES | {name: image()}).read_bytes()
    url = f"http://127.0.0.1:{own.port}{FILES}"
    answer = httpx.post(url, files={"file": ("set.zip", data)}, data={"purpose": "fine-tune"}, timeout=60)

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_dataset")
    assert repr(name) in answer.json()["error"]["message"]
    assert not Path("/tmp/owned.png").exists()
    assert kept(own) == []


def test_an_image_bomb_inside_is_refused_by_its_header(own: Server, tmp_path: Path) -> None:
    png = bytearray(image())
    png[16:24] = struct.pack(">II", 60_000, 60_000)
    png[29:33] = struct.pack(">I", __import__("zlib").crc32(png[12:29]))
    message = refused(
        own, packed(tmp_path / "a.zip", IMAGES | {"cat/huge.png": bytes(png)}).read_bytes(), 413, "archive_too_large"
    )
    assert "'cat/huge.png': the image has 60000 x 60000 pixels" in message


class Trap:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_nothing_is_unpickled(own: Server, tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez(stream, x=np.array([Trap(tmp_path / "owned")] * 4, object), y=np.arange(4) % 2)

    assert "Python objects" in refused(own, stream.getvalue(), 422, "invalid_dataset", "set.npz")
    assert not (tmp_path / "owned").exists()


def test_any_byte_that_is_changed_is_refused_or_harmless(own: Server, tmp_path: Path) -> None:
    """Never a 500, whatever is broken where."""
    whole = packed(tmp_path / "set.zip", IMAGES).read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(25):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 3):
            data[at] ^= 1 << int(rng.integers(8))
        answer = post(own, bytes(data[: len(data) - int(rng.integers(2)) * int(rng.integers(500))]))
        if answer.status_code == 200:
            httpx.delete(f"http://127.0.0.1:{own.port}{FILES}/{answer.json()['id']}")
        else:
            assert answer.status_code in (413, 422), answer.text
            check_refused(answer, answer.status_code, answer.json()["error"]["code"], "file")
    assert kept(own) == []


def test_the_service_answers_quickly_while_a_large_data_set_is_checked(own: Server, tmp_path: Path) -> None:
    picture = image(size=(50, 50, 3))
    data = packed(tmp_path / "a.zip", {f"{n % 2}/{n}.png": picture for n in range(12_000)}, 0).read_bytes()
    answers: list[httpx.Response] = []
    uploading = threading.Thread(target=lambda: answers.append(post(own, data)))
    uploading.start()
    times = []
    with httpx.Client(base_url=f"http://127.0.0.1:{own.port}") as client:
        while uploading.is_alive():
            begun = time.perf_counter()
            assert client.get("/health/live").status_code == 200
            times.append(time.perf_counter() - begun)
            time.sleep(0.02)
    uploading.join()
    assert answers[0].status_code == 200, answers[0].text
    assert len(times) > 20
    assert sorted(times)[len(times) * 9 // 10] < 0.1
    httpx.delete(f"http://127.0.0.1:{own.port}{FILES}/{answers[0].json()['id']}")
    assert kept(own) == []


def test_the_bounds_are_those_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    assert f"| members of an archive | {zip_archive.MAX_MEMBERS:,} |" in page
    assert f"{zip_archive.MAX_RATIO} x the packed size" in page
