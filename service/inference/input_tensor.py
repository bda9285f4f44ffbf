"""An input tensor of the Open Inference Protocol -> the samples that the engine runs."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents, InvalidImage, InvalidParameter, ServiceError
from contract.events.checks import check_count as check_events_count
from contract.events.checks import unordered_events
from contract.images import fit_pixels
from service.inference.decode import Decoded, DecodeOptions, File, decode_all, fitted_image, wrong_kind
from service.inference.fit_recording import fit_recording
from service.inference.inputs import check_count
from service.inference.quick_inputs import QUICK_BODY, QUICK_INPUTS, are_quick
from service.sandbox.message import Spool

LENGTH = struct.Struct("<I")
"""What precedes each element of a tensor of type BYTES."""

_IMAGES = ("image", "pixels")
EVENT_COLUMNS = 5  # sample, t, x, y, p


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor by its name and shape; its elements are `size` bytes of `data` from `start` on, in rows, little-endian.

    `image` and `recording`, `[N]`: a file each, after its length as a uint32. `pixels`, `[N, C, H, W]`: uint8.
    `events`, `[M, 5]`: int64, the columns sample, t, x, y, p.
    """

    name: str
    shape: tuple[int, ...]
    data: bytes | memoryview | Spool
    start: int
    size: int

    @property
    def elements(self) -> memoryview:
        """The bytes of the elements; `TypeError` if they are in a spool."""
        if isinstance(self.data, Spool):
            raise TypeError("the elements are in a spool")
        return memoryview(self.data)[self.start : self.start + self.size]

    def close(self) -> None:
        """Give back the memory of a spool."""
        if isinstance(self.data, Spool):
            self.data.close()


def is_quick(tensor: Tensor, options: DecodeOptions) -> bool:
    """Whether to decode the tensor on the event loop."""
    if isinstance(tensor.data, Spool) or tensor.size > QUICK_BODY:
        return False
    if tensor.name == "pixels":
        is_bounded = tensor.shape[1:] == options.input.shape or tensor.shape[0] <= QUICK_INPUTS
        return is_bounded and options.image_fitting.is_plain
    if tensor.name == "events":
        rows = _rows(tensor)
        return not len(rows) or int(rows[:, 0].max()) < QUICK_INPUTS
    return tensor.shape[0] > options.max_inputs or are_quick(_files(tensor, options), options)


def decode_input_tensor(tensor: Tensor, options: DecodeOptions) -> list[Decoded]:
    """Decode every sample of a tensor that is not in a spool.

    Raises `TooManyInputs`, `WrongInputKind` for a model of the other kind, `InvalidParameter` for a tensor that is not
    as its shape says, and what `decode_all` raises, with the sample as `param` (`pixels[2]`).
    """
    if (tensor.name in _IMAGES) != (options.input.kind == "image"):
        raise wrong_kind(options)
    if tensor.name == "pixels":
        return _decode_pixels(tensor, options)
    if tensor.name == "events":
        return _decode_events(tensor, options)
    files = _files(tensor, options)
    try:
        return decode_all(files, options)
    except ServiceError as error:
        error.param = (error.param or "").replace("inputs", tensor.name, 1)
        raise


def _files(tensor: Tensor, options: DecodeOptions) -> list[File]:
    check_count(tensor.shape[0], options.max_inputs)
    return [File(bytes(element), "image" if tensor.name == "image" else None) for element in _byte_strings(tensor)]


def _byte_strings(tensor: Tensor) -> Iterator[memoryview]:
    elements, start = tensor.elements, 0
    for index in range(tensor.shape[0]):
        end = start + LENGTH.size
        size = LENGTH.unpack_from(elements, start)[0] if end <= len(elements) else 0
        if end + size > len(elements):
            raise InvalidParameter(
                f"{tensor.name}: element {index} of {tensor.shape[0]} goes beyond the tensor's {len(elements)} bytes; "
                "each element is its length as uint32, little-endian, and its bytes",
                param=tensor.name,
            )
        yield elements[end : end + size]
        start = end + size
    if start != len(elements):
        raise InvalidParameter(
            f"{tensor.name}: {len(elements) - start} bytes are left after {tensor.shape[0]} elements",
            param=tensor.name,
        )


def _decode_pixels(tensor: Tensor, options: DecodeOptions) -> list[Decoded]:
    check_count(tensor.shape[0], options.max_inputs)
    if not prod(tensor.shape):
        raise InvalidImage("pixels: the images have no pixels", param="pixels")
    decoded = []
    for index, planes in enumerate(np.frombuffer(tensor.elements, np.uint8).reshape(tensor.shape)):
        try:
            fitted = fit_pixels(
                planes, options.input, max_pixels=options.max_image_pixels, fitting=options.image_fitting
            )
        except ServiceError as error:
            error.param = f"pixels[{index}]"
            raise
        decoded.append(fitted_image(fitted, None, options))
    return decoded


def _rows(tensor: Tensor) -> NDArray[np.int64]:
    rows: NDArray[Any] = np.frombuffer(tensor.elements, "<i8").reshape(-1, EVENT_COLUMNS)
    return rows


def _decode_events(tensor: Tensor, options: DecodeOptions) -> list[Decoded]:
    rows = _rows(tensor)
    samples = rows[:, 0]
    if not len(rows):
        raise InvalidEvents("events: there are no events", param="events")
    if (lowest := int(samples.min())) < 0:
        raise InvalidEvents(f"events: the sample {lowest} is negative; samples are numbered from 0", param="events")
    count = int(samples.max()) + 1
    check_count(count, options.max_inputs)
    sizes = np.bincount(samples, minlength=count)
    by_sample = np.split(rows[np.argsort(samples, kind="stable"), 1:], np.cumsum(sizes)[:-1])
    decoded = []
    for index, events in enumerate(by_sample):
        try:
            check_events_count(len(events), options.max_events)
            checked = unordered_events(*events.T)
            decoded.append(Decoded(*fit_recording(checked, options.input, options.encoder, options.fitting)))
        except ServiceError as error:
            error.param = f"events[{index}]"
            raise
    return decoded
