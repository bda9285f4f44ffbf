"""Decoding a request's inputs: quick ones on the event loop, all others in a process that can be killed.

What a file unpacks to is known from its header or its directory before it is unpacked: within the small limits it is
decoded with little memory beside others, above them with much memory when it is its turn.

`decode_body` runs in a process of the sandbox, so this module and what it imports must not load torch.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from typing_extensions import Buffer

from contract.errors import ImageTooLarge, InvalidEvents, InvalidImage, TooLarge, TooManyEvents, Unavailable
from service.engine.interface import EventSample, ImageSample, Sample
from service.inference.decode import Decoded, DecodeOptions, File, RawInput, decode_all
from service.inference.input_tensor import Tensor, decode_input_tensor, is_quick
from service.inference.inputs import JSON, MULTIPART, UNDECLARED, Body, read_inputs
from service.inference.quick_inputs import QUICK_BODY, QUICK_BYTES, are_quick
from service.inference.tensors import decode_tensor, is_tensor
from service.sandbox.message import Spool
from service.sandbox.pool import Crashed, Sandbox, TookTooLong, TooMuchMemory

TASK = "decode"
MAX_WAIT_SECONDS = 10.0

# One such image or recording, and what is made of it on the way, fits into the memory of a small task.
SMALL_PIXELS = 2_000_000
SMALL_EVENTS = 500_000

_OPTIONS: TypeAdapter[DecodeOptions] = TypeAdapter(DecodeOptions)

Inputs = Body | Tensor | Sequence[RawInput | bytes]


async def decode_inputs(
    inputs: Inputs, options: DecodeOptions, sandbox: Sandbox | None, *, client: str = ""
) -> list[Decoded]:
    """Decode the inputs of one request, as `decode_all` does. Clients take turns in the sandbox.

    Without a sandbox, what is not quick is decoded in a thread, which cannot be stopped. Raises also `TooLarge` for
    inputs that need more memory than a process of the sandbox has, `Overloaded` if too many inputs wait for a process,
    and what `read_inputs` raises.
    """
    if isinstance(inputs, Tensor):
        return await _decode_tensor(inputs, options, sandbox, client)
    if not isinstance(inputs, Body):
        files = [File(each) if isinstance(each, bytes) else each for each in inputs]
        if are_quick(files, options):
            return decode_all(files, options)
        return await asyncio.to_thread(decode_all, files, options)
    data = inputs.data
    if isinstance(data, bytes) and _is_read_quickly(inputs.content_type, data):
        if is_tensor(inputs.content_type, options):
            return decode_tensor(data, options)
        files = read_inputs(inputs.content_type, data, max_inputs=options.max_inputs)
        if are_quick(files, options):
            return decode_all(files, options)
    if sandbox is None:
        if isinstance(data, Spool):
            raise TypeError("a body in a spool needs a sandbox")
        return await asyncio.to_thread(_decode, inputs.content_type, data, options)
    try:
        return await _decode_apart({"content_type": inputs.content_type}, data, options, sandbox, client)
    finally:
        if isinstance(data, Spool):
            data.close()


async def _decode_tensor(tensor: Tensor, options: DecodeOptions, sandbox: Sandbox | None, client: str) -> list[Decoded]:
    try:
        if is_quick(tensor, options):
            return decode_input_tensor(tensor, options)
        if sandbox is None:
            return await asyncio.to_thread(decode_input_tensor, tensor, options)
        source = {"tensor": {"name": tensor.name, "shape": tensor.shape, "start": tensor.start, "size": tensor.size}}
        data = tensor.data
        if not isinstance(data, Spool):
            data, source["tensor"]["start"] = tensor.elements, 0
        return await _decode_apart(source, data, options, sandbox, client)
    finally:
        tensor.close()


def decode_body(head: Any, body: memoryview) -> tuple[Any, Sequence[Buffer]]:
    """The task of the sandbox: a body -> its samples and, in the head, what belongs to each."""
    options = _OPTIONS.validate_python(head["options"])
    if "tensor" in head:
        tensor = Tensor(**head["tensor"] | {"data": body, "shape": tuple(head["tensor"]["shape"])})
        decoded = decode_input_tensor(tensor, options)
    else:
        decoded = _decode(head["content_type"], bytes(body), options)
    samples = [_packed(each.sample) for each in decoded]
    details = [[*sample[0], each.preprocessing] for sample, each in zip(samples, decoded, strict=True)]
    return details, [sample[1].data for sample in samples]


def _decode(content_type: str, data: bytes, options: DecodeOptions) -> list[Decoded]:
    if is_tensor(content_type, options):
        return decode_tensor(data, options)
    return decode_all(read_inputs(content_type, data, max_inputs=options.max_inputs), options)


def _is_read_quickly(content_type: str, data: bytes) -> bool:
    is_parsed = content_type == UNDECLARED or content_type.startswith((JSON, MULTIPART))
    return len(data) <= (QUICK_BYTES if is_parsed else QUICK_BODY)


async def _decode_apart(
    source: dict[str, Any], data: Buffer | Spool, options: DecodeOptions, sandbox: Sandbox, client: str
) -> list[Decoded]:
    """Decode `data` in the sandbox; `source` says what it is."""
    body = data if isinstance(data, Spool) else [data]
    small = replace(
        options,
        max_image_pixels=min(SMALL_PIXELS, options.max_image_pixels),
        max_events=min(SMALL_EVENTS, options.max_events),
    )
    try:
        try:
            details, content = await sandbox.run(TASK, _head(source, small), body, client=client)
        except (ImageTooLarge, TooManyEvents, TooMuchMemory, TookTooLong):
            head = _head(source, options)
            details, content = await sandbox.run(TASK, head, body, client=client, is_large=True)
    except TooMuchMemory as error:
        message = "decoding the inputs takes more memory than the service allows; send fewer or smaller ones"
        raise TooLarge(message) from error
    except Crashed as error:
        if error.is_from_outside:
            raise Unavailable("decoding was interrupted; try again") from error
        failure = InvalidImage if options.input.kind == "image" else InvalidEvents
        raise failure("the inputs break the decoder") from error
    decoded, start = [], 0
    for kind, number, preprocessing in details:
        sample, start = _unpacked(kind, number, content, start, options)
        decoded.append(Decoded(sample, preprocessing))
    return decoded


def _head(source: dict[str, Any], options: DecodeOptions) -> dict[str, Any]:
    return source | {"options": _OPTIONS.dump_python(options, mode="json")}


def _packed(sample: Sample) -> tuple[tuple[str, int], np.ndarray[Any, Any]]:
    """Kind, seed or number of events, and the array."""
    match sample:
        case ImageSample(pixels=pixels, seed=seed):
            return ("image", seed), np.ascontiguousarray(pixels)
        case EventSample(events=events):
            return ("events", len(events)), np.ascontiguousarray(events)


def _unpacked(kind: str, number: int, content: memoryview, start: int, options: DecodeOptions) -> tuple[Sample, int]:
    if kind == "image":
        shape = options.input.shape
        pixels: Any = np.frombuffer(content, np.uint8, int(np.prod(shape)), start).reshape(shape)
        return ImageSample(pixels, number), start + pixels.nbytes
    events: Any = np.frombuffer(content[start : start + 32 * number], np.int64).reshape(number, 4)
    return EventSample(events), start + events.nbytes
