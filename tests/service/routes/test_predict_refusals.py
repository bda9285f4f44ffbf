from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.service.serving import Client, Serve, check

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLANE = [[0] * 8] * 8
IMAGE = "/v1/models/tiny-image/predict"
EVENTS = "/v1/models/tiny-events/predict"
PNG = {"Content-Type": "image/png"}
OCTETS = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}


def png(height: int = 8, width: int = 8) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("query", "param", "says"),
    [
        ("top_k=0", "top_k", "greater than or equal to 1"),
        ("top_k=11", "top_k", "10 classes"),
        ("top_k=x", "top_k", "integer"),
        ("seed=-1", "seed", "greater than or equal to 0"),
        ("seed=9223372036854775808", "seed", "less than"),
        ("detail=all", "detail", "'summary', 'layers', 'timesteps' or 'raster'"),
        ("version=0", "version", "greater than 0"),
        ("energy_profile=loihi2", "energy_profile", "did you mean 'loihi'?"),
        ("energy=memory-yann", "energy", "did you mean 'memory-yan'?"),
        ("energy=operations,", "energy", "an energy estimator"),
        ("format=nmist", "format", "did you mean 'nmnist'?"),
        ("topk=1", "topk", "did you mean 'top_k'?"),
        ("seed=1&seed=2", "seed", "occurs 2 times"),
    ],
)
async def test_a_parameter_that_cannot_be_used_is_named(client: Client, query: str, param: str, says: str) -> None:
    answer = await client.post(f"{IMAGE}?{query}", content=png(), headers=PNG)
    assert says in check(answer, 422, "invalid_parameter", param)


@pytest.mark.parametrize("value", ["0", "-5", "soon", "1.5"])
async def test_a_timeout_that_is_no_time_is_refused(client: Client, value: str) -> None:
    answer = await client.post(IMAGE, content=png(), headers=PNG | {"X-Request-Timeout-Ms": value})
    check(answer, 422, "invalid_parameter", "X-Request-Timeout-Ms")


async def test_an_unknown_model_or_version_is_named(client: Client) -> None:
    model = await client.post("/v1/models/tiny-imag/predict", content=png(), headers=PNG)
    assert "tiny-image" in check(model, 404, "model_not_found", "name")
    version = await client.post(f"{IMAGE}?version=99", content=png(), headers=PNG)
    check(version, 404, "version_not_found", "version")
    outside = await client.post("/v1/models/..%2F..%2Fetc/predict", content=png(), headers=PNG)
    assert outside.status_code == 404


@pytest.mark.parametrize("kind", ["text/plain", "image/svg+xml", "application/vnd.x+json"])
async def test_a_content_type_that_nobody_reads_is_refused(client: Client, kind: str) -> None:
    answer = await client.post(IMAGE, content=png(), headers={"Content-Type": kind})
    assert "image/png" in check(answer, 415, "unsupported_media_type", None)


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 5000, b'{"inputs": [}', b"nothing"])
async def test_a_body_that_is_no_json_is_refused(client: Client, body: bytes) -> None:
    check(await client.post(IMAGE, content=body, headers=JSON), 400, "invalid_json", None)


@pytest.mark.parametrize("headers", [PNG, OCTETS, JSON])
async def test_an_empty_body_is_refused(client: Client, headers: dict[str, str]) -> None:
    check(await client.post(IMAGE, content=b"", headers=headers), 400, "bad_request", None)


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ([], None, "must be a JSON object"),
        ({}, "inputs", "required"),
        ({"inputs": []}, "inputs", "at least 1"),
        ({"inputs": {}}, "inputs", "list"),
        ({"inputs": [{"pixels": PLANE}], "seed": 1}, "seed", "not permitted"),
        ({"inputs": [{"pixels": PLANE}, 5]}, "inputs[1]", "exactly one of"),
        ({"inputs": [{"pixels": PLANE}, {}]}, "inputs[1]", "exactly one of"),
        ({"inputs": [{"pixels": PLANE, "image": ""}]}, "inputs[0]", "exactly one of"),
        ({"inputs": [{"pixels": PLANE, "sed": 1}]}, "inputs[0]", "inputs[0].sed"),
        ({"inputs": [{"pixels": PLANE, "seed": -1}]}, "inputs[0]", "inputs[0].seed"),
        ({"inputs": [{"pixels": PLANE, "seed": True}]}, "inputs[0]", "inputs[0].seed"),
        ({"inputs": [{"image": 5}]}, "inputs[0]", "inputs[0].image"),
        ({"inputs": [{"events": {"t": [1], "x": [1], "y": [1]}}]}, "inputs[0]", "inputs[0].events.p"),
    ],
)
async def test_json_of_another_shape_is_refused_with_its_place(
    client: Client, body: Any, param: str | None, says: str
) -> None:
    assert says in check(await client.post(IMAGE, json=body), 422, "invalid_parameter", param)


async def test_one_bad_input_fails_the_request_and_nothing_is_run(store_root: Path, serve: Serve) -> None:
    async with serve(store_root) as client:
        good = {"pixels": PLANE}
        listed = await client.post(IMAGE, json={"inputs": [good, good, {"pixels": [[1.5]]}, good]})
        check(listed, 422, "invalid_image", "inputs[2]")
        files = [("file", ("a.png", png())), ("file", ("b.png", png()[:40]))]
        check(await client.post(IMAGE, files=files), 422, "invalid_image", "inputs[1]")
        assert 'snn_predictions_total{model="tiny-image"}' not in (await client.get("/metrics")).text


async def test_the_wrong_kind_of_input_is_told(client: Client) -> None:
    image = await client.post(EVENTS, content=png(), headers=PNG)
    assert "takes event recordings" in check(image, 422, "wrong_input_kind", "inputs[0]")
    recording = await client.post(IMAGE, content=b"t,x,y,p\n1,1,1,1\n", headers=OCTETS)
    assert "takes images" in check(recording, 422, "wrong_input_kind", "inputs[0]")
    named = await client.post(f"{IMAGE}?format=nmnist", content=bytes(5), headers=OCTETS)
    check(named, 422, "wrong_input_kind", "inputs[0]")
    pixels = await client.post(f"{EVENTS}?format=tensor", content=bytes(64), headers=OCTETS)
    check(pixels, 422, "invalid_parameter", "format")
    part = await client.post(f"{IMAGE}?format=tensor", content=bytes(63), headers=OCTETS)
    assert "63 bytes" in check(part, 422, "invalid_image", None)


async def test_bad_events_are_told(client: Client) -> None:
    falling = await client.post(EVENTS, content=b"t,x,y,p\n2,1,1,1\n1,1,1,1\n", headers=OCTETS)
    check(falling, 422, "invalid_events", "inputs[0]")
    outside = {"inputs": [{"events": {"t": [0, 1], "x": [7, 8], "y": [0, 0], "p": [0, 1]}}]}
    assert "event 1" in check(await client.post(EVENTS, json=outside), 422, "invalid_events", "inputs[0]")


async def test_a_form_needs_parts_named_file(client: Client) -> None:
    other = await client.post(IMAGE, files=[("fiel", ("a.png", png()))])
    assert "did you mean 'file'?" in check(other, 422, "invalid_parameter", "fiel")
    check(await client.post(IMAGE, data={"file": "x"}, files=[("file", ("a.png", png()))]), 422,
          "invalid_parameter", "file")  # fmt: skip
    boundary = {"Content-Type": "multipart/form-data; boundary=x"}
    check(await client.post(IMAGE, content=b"--x--\r\n", headers=boundary), 400, "bad_request", None)
    check(await client.post(IMAGE, content=b"", headers=boundary), 400, "bad_request", None)
    check(await client.post(IMAGE, content=b"garbage", headers=boundary), 400, "bad_request", None)
    check(await client.post(IMAGE, content=b"x", headers={"Content-Type": "multipart/form-data"}), 400,
          "bad_request", None)  # fmt: skip


async def test_the_limits_of_a_request_are_told(store_root: Path, serve: Serve) -> None:
    async with serve(store_root, max_inputs=2, max_image_pixels=100, max_events=3, max_body_bytes=5000) as client:
        three = {"inputs": [{"pixels": [[0]]}] * 3}
        check(await client.post(IMAGE, json=three), 413, "too_many_inputs", "inputs")
        files = [("file", ("a.png", png()))] * 3
        check(await client.post(IMAGE, files=files), 413, "too_many_inputs", "inputs")
        check(await client.post(IMAGE, content=png(11, 10), headers=PNG), 413, "image_too_large", "inputs[0]")
        events = b"t,x,y,p\n" + b"1,1,1,1\n" * 4
        check(await client.post(EVENTS, content=events, headers=OCTETS), 413, "too_many_events", "inputs[0]")
        check(await client.post(IMAGE, content=bytes(5001), headers=PNG), 413, "body_too_large", None)

        async def chunks() -> Any:
            for _ in range(6):
                yield bytes(1000)

        check(await client.post(IMAGE, content=chunks(), headers=PNG), 413, "body_too_large", None)
        assert (await client.post(IMAGE, json={"inputs": [{"pixels": PLANE}] * 2})).status_code == 200
