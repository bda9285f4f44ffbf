"""The answer of a network -> the output tensors, in JSON or as binary data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic_core import to_json

from service.inference.answer import Answer
from service.open_inference.bodies import InferAnswer, OutputTensor
from service.open_inference.elements import BINARY_SIZE, pack_strings
from service.open_inference.request import InferRequest
from service.open_inference.tensors import OUTPUTS

_DTYPES = {"INT64": "<i8", "FP64": "<f8"}


@dataclass(frozen=True, slots=True)
class InferBytesAnswer:
    """A response as bytes, and the length of its JSON if binary data follows it."""

    data: bytes
    json_bytes: int | None


def values_of(answer: Answer, request: InferRequest) -> list[list[Any]]:
    """The values of each output that is to be returned: one for each input, in their order."""
    values: list[list[Any]] = [[] for _ in request.outputs]
    for prediction in answer.predictions():
        for column, wanted in zip(values, request.outputs, strict=True):
            column.append(OUTPUTS[wanted.name].value(prediction))
    return values


def shape_of(values: Sequence[Any], name: str) -> list[int]:
    """The shape of an output with these values."""
    return [len(values), len(values[0])] if OUTPUTS[name].by_class else [len(values)]


def binary_of(values: Sequence[Any], name: str) -> bytes:
    """The elements of an output as the binary tensor data extension has them."""
    datatype = OUTPUTS[name].datatype
    if datatype == "BYTES":
        return pack_strings([value.encode() for value in values])
    return np.array(values, _DTYPES[datatype]).tobytes()


def build_answer(answer: Answer, request: InferRequest) -> InferBytesAnswer:
    """The response to a request."""
    outputs: list[OutputTensor] = []
    parts = []
    for wanted, values in zip(request.outputs, values_of(answer, request), strict=True):
        name, by_class = wanted.name, OUTPUTS[wanted.name].by_class
        output: OutputTensor = {"name": name, "datatype": OUTPUTS[name].datatype, "shape": shape_of(values, name)}
        if wanted.is_binary:
            parts.append(binary_of(values, name))
            output["parameters"] = {BINARY_SIZE: len(parts[-1])}
        else:
            output["data"] = [value for row in values for value in row] if by_class else values
        outputs.append(output)
    body: InferAnswer = {
        "model_name": answer.options.model,
        "model_version": str(answer.version),
        "outputs": outputs,
    }
    if request.id:
        body["id"] = request.id
    head = to_json(body)
    return InferBytesAnswer(b"".join([head, *parts]), len(head) if parts else None)
