"""The body of an inference request -> its head and the elements of its tensor.

What is small is unpacked on the event loop. `unpack_body` runs in a process of the sandbox, so this module and what it
imports must not load torch.
"""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import Buffer

from contract.errors import BadRequest, TooLarge, Unavailable
from service.inference.input_tensor import Tensor
from service.inference.quick_inputs import QUICK_BODY, QUICK_BYTES
from service.open_inference.bodies import InferBody
from service.open_inference.elements import BINARY_SIZE, tensor_of
from service.parsing import parse_json, validate_body
from service.sandbox.message import Spool
from service.sandbox.pool import Crashed, Sandbox, TookTooLong, TooMuchMemory

TASK = "unpack"
MESSAGE_TASK = "unpack message"
MAX_HEAD = 64 * 1024  # bytes of JSON besides the elements of tensors

_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
CODINGS = ("identity", *_WINDOWS)
"""How a body may be compressed."""


@dataclass(frozen=True, slots=True)
class InferBytes:
    """A request as it was sent: its bytes, their coding, and the length of the JSON before the binary data.

    `json_bytes` is None if all of it is JSON.
    """

    data: bytes | Spool
    coding: str = "identity"
    json_bytes: int | None = None


async def unpack(sent: InferBytes, sandbox: Sandbox, *, max_bytes: int, client: str = "") -> tuple[InferBody, Tensor]:
    """The head of a request, and its tensor. At most `max_bytes` come out of a compressed body.

    A spool is closed, unless the tensor is in it. Raises `InvalidJson`, `InvalidParameter`, `TooLarge`, or `BadRequest`
    for a body that is not as its headers say.
    """
    tensor = None
    try:
        body, tensor = await _unpack(sent, sandbox, max_bytes, client)
        return body, tensor
    finally:
        if isinstance(sent.data, Spool) and (tensor is None or tensor.data is not sent.data):
            sent.data.close()


async def _unpack(sent: InferBytes, sandbox: Sandbox, max_bytes: int, client: str) -> tuple[InferBody, Tensor]:
    data, size = sent.data, sent.data.size if isinstance(sent.data, Spool) else len(sent.data)
    if sent.coding == "identity" and _json_bytes(sent.json_bytes, size) <= QUICK_BYTES:
        return _read(data, size, sent.json_bytes)
    if sent.coding != "identity" and isinstance(data, bytes) and size <= QUICK_BYTES:
        inflated = _inflate(data, sent.coding, QUICK_BODY)
        if inflated is not None and _json_bytes(sent.json_bytes, len(inflated)) <= QUICK_BYTES:
            return _read(inflated, len(inflated), sent.json_bytes)
    head = {"coding": sent.coding, "json_bytes": sent.json_bytes, "max_bytes": max_bytes}
    return await _unpack_apart(sandbox, TASK, head, data if isinstance(data, Spool) else [data], client)


async def unpack_large_message(data: bytes, sandbox: Sandbox, *, client: str = "") -> tuple[InferBody, Tensor]:
    """The same for a message of gRPC, in the sandbox."""
    return await _unpack_apart(sandbox, MESSAGE_TASK, None, [data], client)


async def _unpack_apart(
    sandbox: Sandbox, task: str, head: Any, parts: Sequence[Buffer] | Spool, client: str
) -> tuple[InferBody, Tensor]:
    try:
        try:
            unpacked, content = await sandbox.run(task, head, parts, client=client)
        except (TooMuchMemory, TookTooLong):
            unpacked, content = await sandbox.run(task, head, parts, client=client, is_large=True)
    except TooMuchMemory as error:
        raise TooLarge("the request takes more memory to read than the service allows; send less") from error
    except Crashed as error:
        raise Unavailable("reading the request was interrupted; try again") from error
    body = InferBody.model_validate(unpacked)
    return body, tensor_of(body, content, 0, len(content))


def unpack_body(head: Any, body: memoryview) -> tuple[Any, Sequence[Buffer]]:
    """The task of the sandbox: a body -> its head as JSON, and the elements of its tensor."""
    data: bytes | memoryview | None = body
    if head["coding"] != "identity":
        data = _inflate(body, head["coding"], head["max_bytes"])
        if data is None:
            raise TooLarge(f"the body inflates to more than the limit of {head['max_bytes']} bytes")
    assert data is not None
    _json_bytes(head["json_bytes"], len(data))
    return _packed(*_read(data, len(data), head["json_bytes"]))


def unpack_message(head: Any, body: memoryview) -> tuple[Any, Sequence[Buffer]]:
    """The same task for a message of gRPC, which needs the extra `grpc`."""
    from service.open_inference.message import read_message

    return _packed(*read_message(bytes(body)))


def _packed(read: InferBody, tensor: Tensor) -> tuple[Any, Sequence[Buffer]]:
    [given] = read.inputs
    given.data, given.parameters = None, given.parameters | {BINARY_SIZE: tensor.size}
    if len(read.model_dump_json()) > MAX_HEAD:
        raise TooLarge(f"the request has more than {MAX_HEAD} bytes of JSON besides the elements of its tensor")
    return read.model_dump(), [tensor.elements]


def _read(data: bytes | memoryview | Spool, size: int, json_bytes: int | None) -> tuple[InferBody, Tensor]:
    length = size if json_bytes is None else json_bytes
    head = os.pread(data.fileno(), length, 0) if isinstance(data, Spool) else bytes(data[:length])
    body = validate_body(parse_json(head), InferBody)
    return body, tensor_of(body, data, length, size - length)


def _json_bytes(announced: int | None, size: int) -> int:
    if announced is None:
        return size
    if not 0 < announced <= size:
        raise BadRequest(
            f"the header says that the JSON has {announced} bytes, but the body has {size}; the JSON comes first, and "
            "the binary data of the tensor follows"
        )
    return announced


def _inflate(data: Buffer, coding: str, most: int) -> bytes | None:
    """The decompressed bytes; None if there are more than `most`, of which only so many are decompressed."""
    decoder = zlib.decompressobj(_WINDOWS[coding])
    try:
        inflated = decoder.decompress(data, most + 1)
    except zlib.error as error:
        raise BadRequest(f"the body is not {coding} data: {error}") from error
    if len(inflated) > most:
        return None
    if not decoder.eof or decoder.unused_data:
        raise BadRequest(f"the {coding} data of the body ends too early, or is followed by other data")
    return inflated
