"""Messages of the protocol over gRPC -> requests and tensors, and answers -> messages. Needs the extra `grpc`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from contract.errors import BadRequest, InvalidParameter
from service.inference.answer import Answer
from service.inference.input_tensor import Tensor
from service.open_inference import inference_pb2 as pb
from service.open_inference.answer import binary_of, shape_of, values_of
from service.open_inference.bodies import InferBody
from service.open_inference.elements import BINARY_SIZE, pack_strings, tensor_of
from service.open_inference.request import InferRequest
from service.open_inference.tensors import OUTPUTS
from service.parsing import validate_body


def read_message(data: bytes) -> tuple[InferBody, Tensor]:
    """A `ModelInferRequest`, whose model and version are in the body; `BadRequest`, `InvalidParameter`."""
    try:
        message = pb.ModelInferRequest.FromString(data)
    except DecodeError as error:
        raise BadRequest(f"the message is not a ModelInferRequest: {error}") from error
    elements = _elements(message)
    inputs = [
        {
            "name": each.name,
            "shape": list(each.shape),
            "datatype": each.datatype,
            "parameters": parameters_of(each.parameters) | {BINARY_SIZE: len(elements)},
        }
        for each in message.inputs
    ]
    outputs = [{"name": each.name, "parameters": parameters_of(each.parameters)} for each in message.outputs]
    body = validate_body(
        {
            "id": message.id,
            "model_name": message.model_name,
            "model_version": message.model_version,
            "parameters": parameters_of(message.parameters),
            "inputs": inputs,
            "outputs": outputs,
        },
        InferBody,
    )
    return body, tensor_of(body, elements, 0, len(elements))


def parameters_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of parameters; one without a value is None, which no parameter takes."""
    return {
        name: None if (kind := each.WhichOneof("parameter_choice")) is None else getattr(each, kind)
        for name, each in given.items()
    }


def _elements(message: pb.ModelInferRequest) -> bytes:
    """The elements of the input, as the binary tensor data extension has them."""
    if message.raw_input_contents:
        if len(message.raw_input_contents) != len(message.inputs):
            raise InvalidParameter(
                f"there are {len(message.inputs)} inputs, but {len(message.raw_input_contents)} raw contents",
                param="inputs",
            )
        return message.raw_input_contents[0]
    if not message.inputs:
        return b""
    contents, datatype = message.inputs[0].contents, message.inputs[0].datatype
    if datatype == "BYTES":
        return pack_strings(contents.bytes_contents)
    if datatype == "INT64":
        return np.array(contents.int64_contents, "<i8").tobytes()
    values = np.array(contents.uint_contents, np.uint32)
    if values.size and values.max() > 255:
        raise InvalidParameter(
            f"element {int((values > 255).argmax())} is above 255; UINT8 is 0 to 255", param="inputs"
        )
    return values.astype(np.uint8).tobytes()


def build_message(answer: Answer, request: InferRequest) -> bytes:
    """The `ModelInferResponse`, with the elements of its outputs as raw contents."""
    message = pb.ModelInferResponse(model_name=answer.options.model, model_version=str(answer.version), id=request.id)
    for wanted, values in zip(request.outputs, values_of(answer, request), strict=True):
        message.outputs.add(
            name=wanted.name, datatype=OUTPUTS[wanted.name].datatype, shape=shape_of(values, wanted.name)
        )
        message.raw_output_contents.append(binary_of(values, wanted.name))
    return message.SerializeToString()
