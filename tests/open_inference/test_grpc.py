"""Triton's client over gRPC, beside the same client over HTTP. KServe's package cannot be imported in this process."""

from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException

from tests.open_inference.running import ROOT, Service

DIGIT = (ROOT / "examples" / "digit.png").read_bytes()
RECORDING = (ROOT / "examples" / "recording.bin").read_bytes()
OUTPUTS = ["label", "class_id", "score", "scores", "spikes", "accumulates", "multiply_accumulates", "energy_nj"]
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
EVENTS = np.stack([np.zeros(500), np.arange(500) * 600, *np.random.default_rng(0).integers(0, 2, (3, 500))], axis=1)


def infer(triton: Any, address: str, model: str, name: str, datatype: str, values: Any, **more: Any) -> Any:
    with triton.InferenceServerClient(address) as client:
        tensor = triton.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values)
        answer = client.infer(model, [tensor], **more)
        return {output: answer.as_numpy(output).tolist() for output in OUTPUTS}


@pytest.mark.parametrize(
    ("model", "name", "datatype", "values", "parameters"),
    [
        ("digits-stl", "image", "BYTES", np.array([DIGIT, DIGIT], dtype=object), {"seed": 7}),
        ("digits-stl", "pixels", "UINT8", PIXELS, {"energy_profile": "loihi"}),
        ("nmnist-stl", "recording", "BYTES", np.array([RECORDING], dtype=object), {"format": "nmnist"}),
        ("nmnist-stl", "events", "INT64", EVENTS.astype(np.int64), {"exit": "lossless"}),
    ],
)
def test_answers_are_those_of_http(
    service: Service, model: str, name: str, datatype: str, values: Any, parameters: Any
) -> None:
    given = (model, name, datatype, values)
    answers = infer(over_grpc, service.grpc_address, *given, parameters=parameters)
    assert answers == infer(over_http, service.address, *given, parameters=parameters)
    assert sum(answers["spikes"]) > 0


def test_the_client_sees_server_models_and_repository(service: Service) -> None:
    with over_grpc.InferenceServerClient(service.grpc_address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("digits-stl")
        assert "model_repository" in client.get_server_metadata().extensions
        assert [each.name for each in client.get_model_metadata("digits-stl").inputs] == ["image", "pixels"]
        client.load_model("mnist-stl")
        states = {each.name: each.state for each in client.get_model_repository_index().models}
        assert states["mnist-stl"] == "READY"
        with pytest.raises(InferenceServerException, match="is the default"):
            client.unload_model("mnist-stl")


def test_errors_and_deadlines_are_told_by_the_client(service: Service) -> None:
    with pytest.raises(InferenceServerException, match="there is no model"):
        infer(over_grpc, service.grpc_address, "digit-stl", "pixels", "UINT8", PIXELS)
    slow = np.zeros((64, 1, 300, 300), np.uint8)
    with pytest.raises(InferenceServerException, match="not answered in time"):
        infer(over_grpc, service.grpc_address, "digits-stl", "pixels", "UINT8", slow, timeout=1000)
    with pytest.raises(InferenceServerException, match=r"(?i)deadline"):
        infer(over_grpc, service.grpc_address, "digits-stl", "pixels", "UINT8", slow, client_timeout=0.001)
