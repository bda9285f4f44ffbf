"""JSON bodies of the Open Inference Protocol."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, NonNegativeInt, WithJsonSchema
from typing_extensions import TypedDict

from service.parsing import Body

MAX_PARAMETERS = 64
MAX_DIMENSIONS = 8
LONGEST_ID = 1000

Parameter = bool | int | float | str
Parameters = Annotated[dict[str, Parameter], Field(max_length=MAX_PARAMETERS)]
_DATA = {
    "type": ["array", "null"],
    "items": {},
    "description": "The elements in rows, flat or nested as `shape` says. Files are base64.",
}


class RequestInput(Body):
    """The input tensor of a request. With `binary_data_size` its elements come after the JSON."""

    name: str
    shape: list[NonNegativeInt] = Field(max_length=MAX_DIMENSIONS)
    datatype: str
    parameters: Parameters = Field({})
    data: Annotated[Any, WithJsonSchema(_DATA)] = None


class RequestOutput(Body):
    """An output to be returned."""

    name: str
    parameters: Parameters = Field({})


class InferBody(Body):
    """An inference request: one input tensor, and the outputs to return, all of them by default."""

    id: str = Field("", max_length=LONGEST_ID)
    model_name: str = Field("", description="Not used; the path names the model.")
    model_version: str = Field("", description="Not used; the path names the version.")
    parameters: Parameters = Field({})
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestOutput] = Field([], max_length=MAX_PARAMETERS)


class RepositoryBody(Body):
    """A request to load or unload a model."""

    parameters: Parameters = Field({})


class IndexBody(Body):
    """Which models to list."""

    ready: bool = Field(False, description="Whether to list only those in memory.")


class ServerMetadata(TypedDict):
    """What the server is and which extensions of the protocol it has."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(TypedDict):
    """The process is alive."""

    live: Literal[True]


class ServerReady(TypedDict):
    """The service can answer."""

    ready: Literal[True]


class ModelReady(TypedDict):
    """A version is in memory."""

    name: str
    ready: Literal[True]


class TensorMetadata(TypedDict):
    """A tensor of a model; a dimension of any size is -1."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(TypedDict):
    """A model's versions, inputs and outputs. A request has one of the inputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexEntry(TypedDict):
    """A version in the model store, its state, and the reason for it."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


class OutputTensor(TypedDict):
    """An output. With `binary_data_size` its elements come after the JSON."""

    name: str
    datatype: Literal["BYTES", "INT64", "FP64"]
    shape: list[int]
    parameters: NotRequired[dict[str, int]]
    data: NotRequired[list[Any]]


class InferAnswer(TypedDict):
    """The response to an inference request."""

    model_name: str
    model_version: str
    id: NotRequired[str]
    outputs: list[OutputTensor]
