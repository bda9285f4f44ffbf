"""Bodies of bare pixels, for programs: `application/octet-stream` with `format=tensor`."""

from math import prod

import numpy as np

from contract.errors import BadRequest, InvalidImage
from service.engine.interface import ImageSample
from service.inference.decode import TENSOR, Decoded, DecodeOptions
from service.inference.inputs import OCTETS, check_count


def is_tensor(content_type: str, options: DecodeOptions) -> bool:
    """Whether a body of this type is bare pixels."""
    return options.format == TENSOR and content_type.partition(";")[0].strip().lower() == OCTETS


def decode_tensor(data: bytes, options: DecodeOptions) -> list[Decoded]:
    """One or more samples, one after the other: uint8 in the model's shape, `[C, H, W]` or `[N, C, H, W]`.

    Raises `BadRequest` for an empty body, `InvalidImage` for part of a sample, and `TooManyInputs`.
    """
    if not data:
        raise BadRequest("the body is empty")
    shape = options.input.shape
    size = prod(shape)
    count, rest = divmod(len(data), size)
    if rest:
        raise InvalidImage(
            f"the tensor has {len(data)} bytes, but a sample of model {options.model!r} has {size} (uint8, [C, H, W] = "
            f"{list(shape)}): send one sample, or several one after the other"
        )
    check_count(count, options.max_inputs)
    samples = np.frombuffer(data, np.uint8).reshape(count, *shape)
    return [Decoded(ImageSample(pixels, options.seed), None) for pixels in samples]
