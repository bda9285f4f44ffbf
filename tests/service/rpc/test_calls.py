"""The calls of the protocol over gRPC, beside the same requests over HTTP."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

pytest.importorskip("grpc_health", reason="the extra grpc is not installed")

from service.inference.quick_inputs import QUICK_BYTES
from service.open_inference import inference_pb2 as pb
from tests.service.open_inference import tensors
from tests.service.open_inference.tensors import csv, png, strings
from tests.service.prometheus import read
from tests.service.rpc.calling import Caller, calling
from tests.service.serving import Client
from tests.tiny import moving_bar

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLANES = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
BAR = moving_bar(np.random.default_rng(0), right=True)
ROWS = np.insert(BAR, 0, 0, axis=1).astype("<i8")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(client: Client) -> AsyncIterator[Caller]:
    async with calling(client.runtime) as running:
        yield running


def asked(
    model: str, name: str, datatype: str, shape: tuple[int, ...], raw: bytes | None = None, **more: Any
) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model, **more)
    request.inputs.add(name=name, datatype=datatype, shape=shape)
    if raw is not None:
        request.raw_input_contents.append(raw)
    return request


def columns(answer: Any) -> dict[str, Any]:
    """The outputs of a response over gRPC, as JSON has them."""
    found = {}
    for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        if output.datatype == "BYTES":
            values, at = [], 0
            while at < len(raw):
                size = int.from_bytes(raw[at : at + 4], "little")
                values.append(raw[at + 4 : at + 4 + size].decode())
                at += 4 + size
        else:
            values = np.frombuffer(raw, {"INT64": "<i8", "FP64": "<f8"}[output.datatype]).tolist()
        found[output.name] = (output.datatype, list(output.shape), values)
    return found


async def over_http(client: Client, model: str, given: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    answer = await client.post(f"/v2/models/{model}/infer", json={"inputs": [given], "parameters": parameters})
    assert answer.status_code == 200, answer.text
    return {each["name"]: (each["datatype"], each["shape"], each["data"]) for each in answer.json()["outputs"]}


async def test_answers_are_those_of_http(client: Client, caller: Caller) -> None:
    request = asked("tiny-image", "pixels", "UINT8", PLANES.shape, PLANES.tobytes(), id="one")
    request.parameters["seed"].int64_param = 7
    answer = await caller.call("ModelInfer", request)
    assert (answer.model_name, answer.model_version, answer.id) == ("tiny-image", "1", "one")
    given = tensors.given("pixels", "UINT8", PLANES.shape, PLANES.ravel().tolist())
    assert columns(answer) == await over_http(client, "tiny-image", given, seed=7)

    typed = asked("tiny-image", "pixels", "UINT8", PLANES.shape)
    typed.parameters["seed"].int64_param = 7
    typed.inputs[0].contents.uint_contents.extend(PLANES.ravel().tolist())
    assert columns(await caller.call("ModelInfer", typed)) == columns(answer)

    events = await caller.call("ModelInfer", asked("tiny-events", "events", "INT64", ROWS.shape, ROWS.tobytes()))
    given = tensors.given("events", "INT64", ROWS.shape, ROWS.ravel().tolist())
    assert columns(events) == await over_http(client, "tiny-events", given)
    typed = asked("tiny-events", "events", "INT64", ROWS.shape)
    typed.inputs[0].contents.int64_contents.extend(ROWS.ravel().tolist())
    assert columns(await caller.call("ModelInfer", typed)) == columns(events)


async def test_files_are_sent_as_bytes(client: Client, caller: Caller) -> None:
    image = png(PLANES[0, 0])
    answer = await caller.call("ModelInfer", asked("tiny-image", "image", "BYTES", (2,), strings(image, image)))
    given = tensors.given("image", "BYTES", (2,), [base64.b64encode(image).decode()] * 2)
    assert columns(answer) == await over_http(client, "tiny-image", given)

    request = asked(
        "tiny-events",
        "recording",
        "BYTES",
        (1,),
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="label")],
    )
    request.parameters["format"].string_param = "csv"
    request.inputs[0].contents.bytes_contents.append(csv(BAR))
    answer = await caller.call("ModelInfer", request)
    given = tensors.given("recording", "BYTES", (1,), [base64.b64encode(csv(BAR)).decode()])
    http = await over_http(client, "tiny-events", given, format="csv")
    assert columns(answer) == {"label": http["label"]}


async def test_a_large_message_is_read_in_the_sandbox(client: Client, caller: Caller) -> None:
    planes = np.random.default_rng(1).integers(0, 256, (2, 1, 400, 400), dtype=np.uint8)
    assert planes.nbytes > QUICK_BYTES
    answer = await caller.call("ModelInfer", asked("tiny-image", "pixels", "UINT8", planes.shape, planes.tobytes()))
    given = tensors.given("pixels", "UINT8", planes.shape, planes.ravel().tolist())
    assert columns(answer) == await over_http(client, "tiny-image", given)
    broken = asked("tiny-image", "pixels", "UINT8", (1, 1, 3, 3), planes.tobytes())
    assert (await caller.refused("ModelInfer", broken))[0] == "INVALID_ARGUMENT"


async def test_server_and_models(caller: Caller) -> None:
    assert (await caller.call("ServerLive")).live
    assert (await caller.call("ServerReady")).ready
    assert (await caller.call("ServerMetadata")).version == "1.2.3"
    assert (await caller.call("ModelReady", pb.ModelReadyRequest(name="tiny-image", version="1"))).ready
    metadata = await caller.call("ModelMetadata", pb.ModelMetadataRequest(name="tiny-image"))
    assert [(each.name, each.datatype) for each in metadata.inputs] == [("image", "BYTES"), ("pixels", "UINT8")]
    assert list(metadata.inputs[1].shape) == [-1, 1, 8, 8]
    index = await caller.call("RepositoryIndex", pb.RepositoryIndexRequest(ready=True))
    assert {(each.name, each.state) for each in index.models} >= {("tiny-image", "READY"), ("tiny-events", "READY")}
    await caller.call("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="tiny-image"))
    unload = pb.RepositoryModelUnloadRequest(model_name="tiny-image")
    code, message = await caller.refused("RepositoryModelUnload", unload)
    assert code == "FAILED_PRECONDITION"
    assert "is the default" in message


async def test_errors_have_a_status_and_the_message_of_http(client: Client, caller: Caller) -> None:
    code, message = await caller.refused("ModelInfer", asked("tiny-image", "pixels", "FP32", PLANES.shape, b""))
    sent = {"inputs": [tensors.given("pixels", "FP32", PLANES.shape, [])]}
    answer = await client.post("/v2/models/tiny-image/infer", json=sent)
    assert (code, message) == ("INVALID_ARGUMENT", answer.json()["error"])
    unknown = asked("tiny-imaeg", "pixels", "UINT8", PLANES.shape, PLANES.tobytes())
    assert (await caller.refused("ModelInfer", unknown))[0] == "NOT_FOUND"
    assert (await caller.refused("ModelReady", pb.ModelReadyRequest(name="tiny-imaeg")))[0] == "NOT_FOUND"
    assert (await caller.refused("ModelReady", pb.ModelReadyRequest(name="tiny-image", version="-1")))[0] == (
        "INVALID_ARGUMENT"
    )
    assert (await caller.refused("ModelInfer", b"\xff"))[0] == "INVALID_ARGUMENT"
    assert (await caller.refused("RepositoryIndex", b"\x0a\x02\x61\x62" * 20_000))[0] == "INVALID_ARGUMENT"
    code, message = await caller.refused(
        "ModelInfer", asked("tiny-image", "pixels", "UINT8", (1, 1, 8, 8), PLANES.tobytes())
    )
    assert code == "INVALID_ARGUMENT"
    assert "elements" in message
    too_high = asked("tiny-image", "pixels", "UINT8", (1, 1, 1, 2))
    too_high.inputs[0].contents.uint_contents.extend([255, 256])
    assert "element 1" in (await caller.refused("ModelInfer", too_high))[1]


async def test_the_time_that_a_request_gives_itself_is_kept(caller: Caller) -> None:
    planes = np.zeros((64, 1, 300, 300), np.uint8)
    request = asked("tiny-image", "pixels", "UINT8", planes.shape, planes.tobytes())
    request.parameters["timeout_ms"].int64_param = 1
    code, message = await caller.refused("ModelInfer", request)
    assert code == "DEADLINE_EXCEEDED"
    assert "not answered in time" in message


async def test_a_message_that_never_comes_is_not_waited_for(client: Client) -> None:
    settings = client.runtime.settings.model_copy(update={"request_timeout_ms": 100})
    async with calling(replace(client.runtime, settings=settings)) as caller:
        code, message = await caller.unsent("ModelInfer")
    assert code == "DEADLINE_EXCEEDED"
    assert "did not arrive" in message


async def test_a_deadline_of_grpc_ends_the_call_and_its_ticket(client: Client, caller: Caller) -> None:
    async with asyncio.timeout(5):
        code, _ = await caller.unsent("ModelInfer", timeout=0.1)
        assert code == "DEADLINE_EXCEEDED"
        while client.runtime.predictor.admission._open:
            await asyncio.sleep(0.01)


async def test_a_call_needs_one_of_the_keys(client: Client) -> None:
    request = asked("tiny-image", "pixels", "UINT8", PLANES.shape, PLANES.tobytes())
    async with calling(client.runtime, "secret") as caller:
        assert (await caller.call("ModelInfer", request, key="secret")).outputs
        for key in ("", "wrong"):
            assert (await caller.refused("ModelInfer", request, key=key))[0] == "UNAUTHENTICATED"
            assert (await caller.refused("RepositoryIndex", key=key))[0] == "UNAUTHENTICATED"
            assert (await caller.unsent("ModelInfer"))[0] == "UNAUTHENTICATED"
        assert (await caller.call("ServerLive")).live
        assert await caller.health() == "SERVING"


async def test_without_room_a_call_is_refused_before_its_message(
    client: Client, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.runtime.predictor.admission, "requests", 1_000_000)
    assert (await caller.unsent("ModelInfer"))[0] == "RESOURCE_EXHAUSTED"
    assert (await caller.call("ServerReady")).ready


async def test_health_turns_first_in_a_shutdown(
    client: Client, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await caller.health() == await caller.health("inference.GRPCInferenceService") == "SERVING"
    monkeypatch.setattr(client.runtime.readiness, "shutting_down", True)
    assert await caller.health() == "NOT_SERVING"
    assert not (await caller.call("ServerReady")).ready
    request = asked("tiny-image", "pixels", "UINT8", PLANES.shape, PLANES.tobytes())
    assert (await caller.call("ModelInfer", request)).outputs


async def test_calls_are_counted(client: Client, caller: Caller) -> None:
    def count() -> float:
        labels = (("method", "GRPC"), ("model", ""), ("route", "/inference.GRPCInferenceService/ServerLive"))
        return sum(
            value
            for (name, found), value in read(client.runtime.metrics).items()
            if name == "snn_requests_total" and set(labels) <= set(found) and ("status", "200") in found
        )

    before = count()
    await caller.call("ServerLive")
    assert count() == before + 1
