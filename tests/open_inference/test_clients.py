"""Clients that others wrote: those of Triton and KServe, in JSON and with binary data."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from tritonclient.utils import InferenceServerException

from tests.open_inference.running import ROOT, Service

DIGIT = (ROOT / "examples" / "digit.png").read_bytes()
RECORDING = (ROOT / "examples" / "recording.bin").read_bytes()
OUTPUTS = ["label", "class_id", "score", "scores", "spikes", "accumulates", "multiply_accumulates", "energy_nj"]

Outputs = dict[str, Any]
Infer = Callable[..., Outputs]


def with_triton(
    service: Service, model: str, name: str, datatype: str, values: Any, *, binary: bool, **more: Any
) -> Any:
    with triton.InferenceServerClient(service.address) as client:
        tensor = triton.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        outputs = [triton.InferRequestedOutput(output, binary_data=binary) for output in OUTPUTS]
        answer = client.infer(model, [tensor], outputs=outputs, **more)
        return {output: answer.as_numpy(output) for output in OUTPUTS}


def with_kserve(
    service: Service, model: str, name: str, datatype: str, values: Any, *, binary: bool, **more: Any
) -> Any:
    async def call() -> Any:
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        tensor = InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        outputs = [RequestedOutput(output, {"binary_data": binary}) for output in OUTPUTS]
        request = InferRequest(model, [tensor], request_outputs=outputs, **more)
        try:
            return await client.infer(f"http://{service.address}", request, model_name=model)
        finally:
            await client.close()

    answer = asyncio.run(call())
    return {output.name: output.as_numpy() for output in answer.outputs}


@pytest.fixture(params=["triton-json", "triton-binary", "kserve-json", "kserve-binary"])
def infer(request: pytest.FixtureRequest, service: Service) -> Infer:
    kind, _, form = request.param.partition("-")
    call = with_triton if kind == "triton" else with_kserve

    def run(*given: Any, **more: Any) -> Outputs:
        outputs: Outputs = call(service, *given, binary=form == "binary", **more)
        return outputs

    run.is_binary = form == "binary"  # type: ignore[attr-defined]
    return run


def check(outputs: Outputs, answer: Any) -> None:
    """The outputs are those of `/v1`, to the last bit."""
    predictions = answer["predictions"]
    labels = [label.decode() if isinstance(label, bytes) else label for label in outputs["label"].tolist()]
    assert labels == [each["label"] for each in predictions]
    assert outputs["class_id"].tolist() == [each["class_id"] for each in predictions]
    assert outputs["score"].tolist() == [each["score"] for each in predictions]
    assert outputs["scores"].max(axis=1).tolist() == [each["score"] for each in predictions]
    assert outputs["spikes"].tolist() == [each["spikes"]["total"] for each in predictions]
    assert outputs["energy_nj"].tolist() == [each["energy"]["estimate_nj"] for each in predictions]
    for name in ("accumulates", "multiply_accumulates"):
        assert outputs[name].tolist() == [each["energy"][name] for each in predictions]


def files(infer: Any, *contents: bytes) -> Any:
    """Files as elements: base64 in JSON, where the clients allow text alone."""
    encoded = contents if infer.is_binary else [base64.b64encode(each) for each in contents]
    return np.array(encoded, dtype=object)


def test_images(infer: Infer, service: Service) -> None:
    text = base64.b64encode(DIGIT).decode()
    check(
        infer("digits-stl", "image", "BYTES", files(infer, DIGIT, DIGIT), parameters={"seed": 7}),
        service.predict("digits-stl", [{"image": text}] * 2, "seed=7"),
    )


def test_pixels(infer: Infer, service: Service) -> None:
    planes = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
    check(
        infer("digits-stl", "pixels", "UINT8", planes),
        service.predict("digits-stl", [{"pixels": plane.tolist()} for plane in planes]),
    )


def test_recordings(infer: Infer, service: Service) -> None:
    given = {"recording": base64.b64encode(RECORDING).decode(), "format": "nmnist"}
    check(
        infer("nmnist-stl", "recording", "BYTES", files(infer, RECORDING), parameters={"format": "nmnist"}),
        service.predict("nmnist-stl", [given]),
    )


def test_events(infer: Infer, service: Service) -> None:
    rng = np.random.default_rng(0)
    rows = np.stack(
        [
            np.repeat([0, 1], 500),
            np.tile(np.arange(500) * 600, 2),
            *rng.integers(0, 34, (2, 1000)),
            rng.integers(0, 2, 1000),
        ],
        axis=1,
    )
    inputs = [{"events": dict(zip("txyp", rows[rows[:, 0] == at, 1:].T.tolist(), strict=True))} for at in (0, 1)]
    check(infer("nmnist-stl", "events", "INT64", rows.astype(np.int64)), service.predict("nmnist-stl", inputs))


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_bodies(service: Service, algorithm: str) -> None:
    planes = np.zeros((2, 1, 8, 8), np.uint8)
    plain = with_triton(service, "digits-stl", "pixels", "UINT8", planes, binary=True)
    more = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
    packed = with_triton(service, "digits-stl", "pixels", "UINT8", planes, binary=True, **more)
    assert all((plain[name] == packed[name]).all() for name in OUTPUTS)


def test_errors_are_told_by_the_clients(infer: Infer) -> None:
    with pytest.raises(Exception, match="UINT8") as caught:
        infer("digits-stl", "pixels", "FP32", np.zeros((1, 1, 8, 8), np.float32))
    assert not isinstance(caught.value, AssertionError)


def test_tritons_client_sees_server_models_and_repository(service: Service) -> None:
    with triton.InferenceServerClient(service.address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("digits-stl")
        assert client.is_model_ready("digits-stl", "2")
        assert not client.is_model_ready("mnist-stl")
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
        inputs = client.get_model_metadata("digits-stl")["inputs"]
        assert [each["name"] for each in inputs] == ["image", "pixels"]
        client.load_model("mnist-stl")
        states = {each["name"]: each["state"] for each in client.get_model_repository_index()}
        assert states["mnist-stl"] == "READY"
        with pytest.raises(InferenceServerException, match="is the default"):
            client.unload_model("mnist-stl")
        with pytest.raises(InferenceServerException, match="there is no model"):
            client.get_model_metadata("digit-stl")
        slow = triton.InferInput("pixels", [64, 1, 300, 300], "UINT8")
        slow.set_data_from_numpy(np.zeros((64, 1, 300, 300), np.uint8))
        with pytest.raises(InferenceServerException, match="time"):
            client.infer("digits-stl", [slow], timeout=1000)


def test_kserves_client_sees_server_and_models(service: Service) -> None:
    async def call() -> None:
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        url = f"http://{service.address}"
        assert await client.is_server_live(url)
        assert await client.is_server_ready(url)
        assert await client.is_model_ready(url, "digits-stl")
        await client.close()

    asyncio.run(call())
