"""The calls of `GRPCInferenceService`: each takes the bytes of a request and returns those of the response."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError, Message

from contract.errors import BadRequest, InvalidParameter, ServiceError
from service.inference.admission import Ticket
from service.inference.input_tensor import Tensor
from service.inference.quick_inputs import QUICK_BYTES
from service.open_inference import inference_pb2 as pb
from service.open_inference import metadata, repository
from service.open_inference.bodies import InferBody
from service.open_inference.infer import infer
from service.open_inference.message import build_message, parameters_of, read_message
from service.open_inference.unpack import unpack_large_message
from service.runtime import Runtime

INFER = "ModelInfer"


@dataclass(frozen=True, slots=True)
class Received:
    """The message of a call, its ticket, and what takes a function to be called once the call is over."""

    data: bytes
    ticket: Ticket
    on_end: Callable[[Callable[[object], None]], None]


Call = Callable[[Received], Awaitable[bytes]]


class Calls:
    """The calls of one running service, `version` being its own."""

    def __init__(self, runtime: Runtime, version: str) -> None:
        self._runtime = runtime
        self._version = version

    def by_name(self) -> dict[str, Call]:
        """Every call of the service by its name."""
        return {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            INFER: self.infer,
            "RepositoryIndex": self.index,
            "RepositoryModelLoad": self.load,
            "RepositoryModelUnload": self.unload,
        }

    async def server_live(self, received: Received) -> bytes:
        """Yes, while the process is alive."""
        return pb.ServerLiveResponse(live=True).SerializeToString()

    async def server_ready(self, received: Received) -> bytes:
        """Whether the service can answer."""
        return pb.ServerReadyResponse(ready=await _holds(self._runtime.readiness.check())).SerializeToString()

    async def model_ready(self, received: Received) -> bytes:
        """Whether a version is in memory."""
        request = _parsed(pb.ModelReadyRequest, received.data)
        check = metadata.check_model_ready(self._runtime.registry, request.name, _number(request.version))
        return pb.ModelReadyResponse(ready=await _holds(check)).SerializeToString()

    async def server_metadata(self, received: Received) -> bytes:
        """What the server is."""
        return pb.ServerMetadataResponse(**metadata.server_metadata(self._version)).SerializeToString()

    async def model_metadata(self, received: Received) -> bytes:
        """Inputs and outputs of a version."""
        request = _parsed(pb.ModelMetadataRequest, received.data)
        found = await metadata.model_metadata(self._runtime.registry, request.name, _number(request.version))
        return pb.ModelMetadataResponse(**found).SerializeToString()

    async def infer(self, received: Received) -> bytes:
        """Run a version on a tensor."""
        runtime, data, ticket = self._runtime, received.data, received.ticket
        if len(data) <= QUICK_BYTES:
            body, tensor = read_message(data)
        else:
            ticket.enter("decode")
            body, tensor = await unpack_large_message(data, runtime.sandbox, client=ticket.client)
            ticket.enter("load")  # the model may have to load

        async def read() -> tuple[InferBody, Tensor]:
            ticket.enter("decode")
            return body, tensor

        name, number = body.model_name, _number(body.model_version)
        answer, held = await infer(
            runtime.predictor, runtime.settings, name, read, build_message, version=number, ticket=ticket
        )
        if held:
            received.on_end(lambda _: runtime.predictor.answer_bytes.give(held))
        return answer

    async def index(self, received: Received) -> bytes:
        """Every version and its state."""
        request = _parsed(pb.RepositoryIndexRequest, received.data)
        entries = repository.index(self._runtime.registry, ready=request.ready)
        return pb.RepositoryIndexResponse(
            models=[pb.RepositoryIndexResponse.ModelIndex(**entry) for entry in entries]
        ).SerializeToString()

    async def load(self, received: Received) -> bytes:
        """Load a version, and answer when it is ready."""
        request = _parsed(pb.RepositoryModelLoadRequest, received.data)
        parameters = parameters_of(request.parameters)
        await repository.load_model(
            self._runtime.registry, request.model_name, parameters, seconds=received.ticket.remaining
        )
        return pb.RepositoryModelLoadResponse().SerializeToString()

    async def unload(self, received: Received) -> bytes:
        """Free the memory of a version."""
        request = _parsed(pb.RepositoryModelUnloadRequest, received.data)
        await repository.unload_model(self._runtime.registry, request.model_name, parameters_of(request.parameters))
        return pb.RepositoryModelUnloadResponse().SerializeToString()


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        message: Message = kind.FromString(data)
    except DecodeError as error:
        raise BadRequest(f"the message is not a {kind.__name__}: {error}") from error
    return message


async def _holds(check: Awaitable[None]) -> bool:
    try:
        await check
    except ServiceError as error:
        if error.code in ("model_not_found", "version_not_found"):
            raise
        return False
    return True


def _number(version: str) -> int | None:
    if not version:
        return None
    if not (version.isascii() and version.isdecimal() and len(version) < 16 and int(version)):
        raise InvalidParameter(f"a version is a positive integer, not {version!r}", param="version")
    return int(version)
