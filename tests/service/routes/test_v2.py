import base64
import gc
import gzip
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.errors import Overloaded
from tests.service.open_inference import tensors
from tests.service.open_inference.tensors import JSON_BYTES, asked, binary, csv, packed, png, strings, unpacked
from tests.service.prometheus import read
from tests.service.serving import Client, Serve
from tests.tiny import moving_bar

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGE = "/v2/models/tiny-image/infer"
EVENTS = "/v2/models/tiny-events/infer"
PLANES = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
BARS = [moving_bar(np.random.default_rng(seed), right=bool(seed % 2)) for seed in range(3)]
ROWS = np.concatenate([np.insert(bar, 0, index, axis=1) for index, bar in enumerate(BARS)])
OUTPUTS = ("label", "class_id", "score", "scores", "spikes", "accumulates", "multiply_accumulates", "energy_nj")
ALL_BINARY = {"binary_data_output": True}


def expected(predictions: list[dict[str, Any]]) -> dict[str, Any]:
    """The outputs that belong to predictions of `/v1`, which have all classes in `top_k`."""
    return {
        "label": [each["label"] for each in predictions],
        "class_id": [each["class_id"] for each in predictions],
        "score": [each["score"] for each in predictions],
        "scores": [
            [found["score"] for found in sorted(each["top_k"], key=lambda found: found["class_id"])]
            for each in predictions
        ],
        "spikes": [each["spikes"]["total"] for each in predictions],
        "accumulates": [each["energy"]["accumulates"] for each in predictions],
        "multiply_accumulates": [each["energy"]["multiply_accumulates"] for each in predictions],
        "energy_nj": [each["energy"]["estimate_nj"] for each in predictions],
    }


async def predicted(client: Client, model: str, inputs: list[Any], **query: Any) -> dict[str, Any]:
    top_k = 10 if model == "tiny-image" else 2
    answer = await client.post(f"/v1/models/{model}/predict", json={"inputs": inputs}, params={"top_k": top_k} | query)
    assert answer.status_code == 200, answer.text
    return expected(answer.json()["predictions"])


def pixels(planes: Any = PLANES) -> dict[str, Any]:
    return tensors.given("pixels", "UINT8", planes.shape, planes.ravel().tolist())


async def refused(client: Client, path: str, status: int, request: Any = None, **sent: Any) -> str:
    answer = await client.post(path, json=request, **sent) if request else await client.post(path, **sent)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    message = answer.json()["error"]
    assert isinstance(message, str)
    return message


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**63 - 1),
    draw=st.integers(0, 1000),
    count=st.integers(1, 5),
    size=st.sampled_from([(1, 8, 8), (1, 5, 11), (3, 8, 8)]),
    exit=st.sampled_from(["none", "lossless"]),
    profile=st.sampled_from(["cmos-45nm", "loihi"]),
    invert=st.sampled_from(["false", "auto", "true"]),
    binary_in=st.booleans(),
    binary_out=st.booleans(),
)
async def test_pixels_get_the_answers_of_predict_to_the_last_bit(
    client: Client,
    seed: int,
    draw: int,
    count: int,
    size: tuple[int, int, int],
    exit: str,
    profile: str,
    invert: str,
    binary_in: bool,
    binary_out: bool,
) -> None:
    planes = np.random.default_rng(draw).integers(0, 256, (count, *size), dtype=np.uint8)
    options = {"seed": seed, "exit": exit, "energy_profile": profile, "invert": invert}
    given = [{"pixels": plane.tolist()} for plane in planes]
    right = await predicted(client, "tiny-image", given, **options)
    wanted = options | {"binary_data_output": binary_out}
    if binary_in:
        request = asked(binary("pixels", "UINT8", planes.shape, planes.tobytes()), *OUTPUTS, **wanted)
        body, headers = packed(request, planes.tobytes())
        answer = await client.post(IMAGE, content=body, headers=headers)
    else:
        answer = await client.post(IMAGE, json=asked(pixels(planes), *OUTPUTS, **wanted))
    assert unpacked(answer) == right
    assert (JSON_BYTES in answer.headers) == binary_out


async def test_files_events_and_recordings_get_the_answers_of_predict(client: Client) -> None:
    images = [png(plane[0]) for plane in PLANES]
    as_text = [base64.b64encode(image).decode() for image in images]
    right = await predicted(client, "tiny-image", [{"image": text} for text in as_text])
    listed = await client.post(IMAGE, json={"inputs": [tensors.given("image", "BYTES", [3], as_text)]})
    sent = strings(*images)
    body, headers = packed({"inputs": [binary("image", "BYTES", [3], sent)]}, sent)
    assert unpacked(listed) == unpacked(await client.post(IMAGE, content=body, headers=headers)) == right

    lists = [{"events": dict(zip("txyp", bar.T.tolist(), strict=True))} for bar in BARS]
    right = await predicted(client, "tiny-events", lists)
    shuffled = np.concatenate([ROWS[ROWS[:, 0] == sample] for sample in (2, 0, 1)])
    for rows in (ROWS, shuffled):
        given = tensors.given("events", "INT64", rows.shape, rows.tolist())  # nested
        assert unpacked(await client.post(EVENTS, json={"inputs": [given]})) == right
    files = strings(*map(csv, BARS))
    body, headers = packed({"inputs": [binary("recording", "BYTES", [3], files, format="csv")]}, files)
    assert unpacked(await client.post(EVENTS, content=body, headers=headers)) == right


async def test_large_requests_and_small_ones_are_read_alike(client: Client) -> None:
    """Of other sizes, which are read on the event loop and in the sandbox, in JSON, as binary data and compressed."""
    for size in (8, 200):
        planes = np.random.default_rng(size).integers(0, 256, (2, 1, size, size), dtype=np.uint8)
        right = await predicted(client, "tiny-image", [{"pixels": plane.tolist()} for plane in planes])
        text = json.dumps({"inputs": [pixels(planes)]}).encode()
        elements = planes.tobytes()
        body, headers = packed({"inputs": [binary("pixels", "UINT8", planes.shape, elements)]}, elements)
        sent = [
            (text, {}),
            (body, headers),
            (gzip.compress(text), {"Content-Encoding": "gzip"}),
            (zlib.compress(body), headers | {"Content-Encoding": "deflate"}),
        ]
        for content, heads in sent:
            assert unpacked(await client.post(IMAGE, content=content, headers=heads)) == right


async def test_the_outputs_are_those_that_are_named_in_their_order(client: Client) -> None:
    request = {"id": "42", "inputs": [pixels()], "outputs": [{"name": "spikes"}, {"name": "label"}]}
    answer = (await client.post(IMAGE, json=request)).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("42", "tiny-image", "1")
    assert [(each["name"], each["datatype"], each["shape"]) for each in answer["outputs"]] == [
        ("spikes", "INT64", [3]),
        ("label", "BYTES", [3]),
    ]
    request["outputs"] = [{"name": "scores", "parameters": {"binary_data": True}}, {"name": "label"}]
    mixed = await client.post("/v2/models/tiny-image/versions/2/infer", json=request)
    assert mixed.headers["content-type"] == "application/octet-stream"
    assert np.shape(unpacked(mixed)["scores"]) == (3, 10)
    assert b'"model_version":"2"' in mixed.content


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (tensors.given("pixels", "UINT8", [1, 1, 8, 8], [0.0] * 64), "element 0 is 0.0; UINT8 is an integer"),
        (tensors.given("pixels", "UINT8", [1, 1, 8, 8], [True] * 64), "element 0 is True"),
        (tensors.given("pixels", "UINT8", [1, 1, 8, 8], [0] * 63 + [256]), "element 63 is 256"),
        (tensors.given("pixels", "UINT8", [1, 1, 8, 8], [0] * 63), "data has 63 elements"),
        (tensors.given("pixels", "UINT8", [1, 1, 2, 2], [[[[0, 1], [2]]]]), "dimension 3 there must be 2"),
        (tensors.given("pixels", "UINT8", [1, 1, 2, 2], [[[[0, 1], 2]]]), "dimension 3 there must be 2"),
        (tensors.given("pixels", "UINT8", [2**60, 2**60, 8, 8], [0]), "has 85070591730234615865843651857942052864"),
        (tensors.given("pixels", "UINT8", [1, 8, 8], [0] * 64), "the shape must be [N, C, H, W]"),
        (tensors.given("pixels", "UINT8", [-1, 1, 8, 8], [0] * 64), "greater than or equal to 0"),
        (tensors.given("pixels", "UINT8", [0, 1, 8, 8], []), "no pixels"),
        (tensors.given("pixels", "UINT8", [1, 2, 8, 8], [0] * 128), "pixels[0]: the pixels have 2 channels"),
        (tensors.given("pixels", "FP32", [1, 1, 8, 8], [0.0] * 64), "the datatype must be UINT8, not 'FP32'"),
        (tensors.given("image", "BYTES", [1], ["%"]), "element 0 is not base64"),
        (tensors.given("image", "BYTES", [1], [7]), "element 0 must be a string"),
        (tensors.given("image", "BYTES", [2], [base64.b64encode(png(PLANES[0, 0])).decode(), "AAAA"]), "image[1]: "),
        (tensors.given("picture", "BYTES", [1], [""]), "'picture' is not an input"),
        (tensors.given("events", "INT64", [1, 5], [0] * 5), "takes images"),
        (tensors.given("pixels", "UINT8", [1, 1, 8, 8]), "data must be a list"),
        (binary("pixels", "UINT8", [1, 1, 8, 8], bytes(64)), "0 bytes follow the JSON"),
        (tensors.given("pixels", "UINT8", [1, 1, 8, 8], [0] * 64, format="csv"), "are for recordings"),
        (tensors.given("pixels", "UINT8", [1, 1, 8, 8], [0] * 64, shared_memory_region="x"), "'shared_memory_region'"),
    ],
)
async def test_a_tensor_that_cannot_be_used_is_explained(client: Client, tensor: Any, says: str) -> None:
    assert says in await refused(client, IMAGE, 422, {"inputs": [tensor]})


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([[-1, 0, 0, 0, 0]], "sample -1 is negative"),
        ([[0, 0, 0, 0, 0], [2, 0, 0, 0, 0]], "events[1]: the recording holds no events"),
        ([[0, 5, 0, 0, 0], [0, 4, 0, 0, 0]], "events[0]: event 1: its time 4"),
        ([[0, 0, 8, 0, 0]], "outside the model's sensor"),
        ([[0, 0, -1, 0, 0]], "x is -1"),
        ([[0, 0, 0, 0, 2]], "p is 2"),
        ([[0, 2**62, 0, 0, 0]], "below 2^62"),
        ([[0, 2**63, 0, 0, 0]], "element 1 is 9223372036854775808"),
    ],
)
async def test_events_that_cannot_be_used_are_explained(client: Client, rows: list[list[int]], says: str) -> None:
    tensor = tensors.given("events", "INT64", [len(rows), 5], rows)
    assert says in await refused(client, EVENTS, 422, {"inputs": [tensor]})


async def test_too_many_samples_are_refused_whatever_their_number(client: Client) -> None:
    for last in (300, 2**63 - 1):
        tensor = tensors.given("events", "INT64", [2, 5], [[0] * 5, [last, 0, 0, 0, 0]])
        assert "at most 256" in await refused(client, EVENTS, 413, {"inputs": [tensor]})
    for tensor in (
        tensors.given("pixels", "UINT8", [300, 1, 1, 1], [0] * 300),
        tensors.given("image", "BYTES", [300], [""] * 300),
    ):
        assert "at most 256" in await refused(client, IMAGE, 413, {"inputs": [tensor]})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"parameters": {"sede": 1}}, "did you mean 'seed'?"),
        ({"parameters": {"seed": -1}}, "seed: "),
        ({"parameters": {"seed": "1"}}, "seed: "),
        ({"parameters": {"energy_profile": "loihi2"}}, "did you mean 'loihi'?"),
        ({"parameters": {"timeout_ms": 0}}, "timeout_ms must be a positive integer"),
        ({"parameters": {"binary_data_output": 1}}, "binary_data_output must be true or false"),
        ({"parameters": {"top_k": 1}}, "'top_k' is not a parameter"),
        ({"outputs": [{"name": "lable"}]}, "did you mean 'label'?"),
        ({"outputs": [{"name": "label"}, {"name": "label"}]}, "named twice"),
        ({"outputs": [{"name": "label", "parameters": {"classification": 3}}]}, "'classification' is not a parameter"),
        ({"inputs": []}, "at least 1"),
        ({"inputs": [pixels(), pixels()]}, "at most 1"),
        ({"output": []}, "output: "),
    ],
)
async def test_a_request_that_cannot_be_used_is_explained(client: Client, change: Any, says: str) -> None:
    assert says in await refused(client, IMAGE, 422, {"inputs": [pixels()]} | change)


async def test_binary_data_must_be_as_long_as_its_headers_say(client: Client) -> None:
    elements = PLANES.tobytes()
    right = {"inputs": [binary("pixels", "UINT8", PLANES.shape, elements)]}
    body, headers = packed(right, elements)
    for content, says in ((body[:-1], "191 bytes follow"), (body + b"!", "193 bytes follow")):
        assert says in await refused(client, IMAGE, 422, content=content, headers=headers)
    wrong = {"inputs": [binary("pixels", "UINT8", [2, 1, 8, 8], elements)]}
    body, headers = packed(wrong, elements)
    assert "192 bytes are not 128 elements" in await refused(client, IMAGE, 422, content=body, headers=headers)
    for length in ("0", str(len(body) + 1)):
        says = await refused(client, IMAGE, 400, content=body, headers={JSON_BYTES: length})
        assert f"the JSON has {length} bytes" in says
    assert "positive integer" in await refused(client, IMAGE, 422, content=body, headers={JSON_BYTES: "x"})
    for files, says in ((strings(b"abc")[:-1], "goes beyond"), (strings(b"abc") + b"!", "1 bytes are left")):
        body, headers = packed({"inputs": [binary("image", "BYTES", [1], files)]}, files)
        assert says in await refused(client, IMAGE, 422, content=body, headers=headers)


async def test_a_compressed_body_is_bounded_by_what_it_inflates_to(
    tiny_store_root: Path, client: Client, serve: Serve
) -> None:
    async with serve(tiny_store_root, preload=("tiny-image",), max_body_bytes=100_000) as small:
        bomb = gzip.compress(b" " * 10_000_000)
        assert len(bomb) < 16 * 1024
        says = await refused(small, IMAGE, 413, content=bomb, headers={"Content-Encoding": "gzip"})
        assert "inflates to more than the limit of 100000 bytes" in says
        assert small.runtime.predictor.admission.bytes == 0
    for content in (b"no", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"more"):
        assert "gzip" in await refused(client, IMAGE, 400, content=content, headers={"Content-Encoding": "gzip"})


async def test_a_large_request_that_is_refused_leaves_no_file_open(client: Client) -> None:
    planes = np.zeros((30, 1, 60, 60), np.uint8)
    tensor = binary("pixels", "UINT8", planes.shape, planes.tobytes())
    refusals: tuple[dict[str, Any], ...] = {"inputs": []}, asked(tensor, sede=1), asked(tensor, energy_profile="loihi2")
    open_files = []
    for request in (asked(tensor), *refusals):
        body, headers = packed(request, planes.tobytes())
        answer = await client.post(IMAGE, content=body, headers=headers)
        assert answer.status_code == (422 if request in refusals else 200)
        gc.collect()
        open_files.append(len(os.listdir("/proc/self/fd")))
    assert len(set(open_files)) == 1, open_files


async def test_an_unknown_coding_is_refused(client: Client) -> None:
    says = await refused(client, IMAGE, 415, content=b"x", headers={"Content-Encoding": "br"})
    assert "must be one of identity, gzip, deflate" in says


async def test_the_head_of_a_large_request_is_bounded(client: Client) -> None:
    planes = np.zeros((100, 1, 8, 8), np.uint8)
    request = {"inputs": [pixels(planes)], "parameters": {"energy_profile": "x" * 100_000}}
    assert "more than 65536 bytes of JSON" in await refused(client, IMAGE, 413, request)


async def test_errors_have_the_shape_of_the_protocol_on_every_route(client: Client) -> None:
    assert "tiny-image" in await refused(client, "/v2/models/tiny-imag/infer", 404, {"inputs": [pixels()]})
    assert "no version 99" in await refused(client, "/v2/models/tiny-image/versions/99/infer", 404, {"inputs": []})
    assert "positive integer" in await refused(client, "/v2/models/tiny-image/versions/x/infer", 422, {"inputs": []})
    assert "not JSON" in await refused(client, IMAGE, 400, content=b"{")
    assert "no such route" in await refused(client, "/v2/nothing", 404, content=b"")
    assert "does not support POST" in await refused(client, "/v2", 405, content=b"")
    assert "query" in await refused(client, f"{IMAGE}?seed=1", 422, {"inputs": [pixels()]})


async def test_keys_guard_everything_but_health(tiny_store_root: Path, serve: Serve) -> None:
    async with serve(tiny_store_root, preload=(), api_keys="secret-key-of-some-length") as client:
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/v2")).status_code == 401
        assert "API key" in await refused(client, IMAGE, 401, {"inputs": [pixels()]})


async def test_the_time_of_a_request_is_that_which_it_gives_itself(tiny_store_root: Path, serve: Serve) -> None:
    async with serve(tiny_store_root, preload=("tiny-image",), max_batch_wait_ms=300) as client:
        for name, value in (("timeout_ms", 20), ("timeout", 20_000)):
            request = {"inputs": [pixels()], "parameters": {name: value}}
            assert "time" in await refused(client, IMAGE, 504, request)
        longer = {"inputs": [pixels()], "parameters": {"timeout_ms": 10_000}}
        assert (await client.post(IMAGE, json=longer)).status_code == 200


async def test_a_full_queue_refuses_before_the_body_is_read(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise Overloaded("full")

    monkeypatch.setattr(client.runtime.predictor.admission, "check_room", full)
    answer = await client.post(IMAGE, content=b"never read")
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (429, {"error": "full"}, "1")


async def test_requests_are_counted_by_route_and_model(client: Client) -> None:
    await client.post(IMAGE, json={"inputs": [pixels()]})
    routes = {
        (dict(labels)["route"], dict(labels)["model"])
        for name, labels in read(client.runtime.metrics)
        if name == "snn_requests_total"
    }
    assert ("/v2/models/{name}/infer", "tiny-image") in routes
