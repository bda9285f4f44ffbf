"""Arrays as short text in JSON: compressed, in base64."""

import base64
import zlib

import numpy as np
from numpy.typing import NDArray


def pack_bits(flags: NDArray[np.bool_]) -> str:
    """Booleans, one bit each, in C order; the shape is not kept."""
    return _text(np.packbits(flags, axis=None).tobytes())


def unpack_bits(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The booleans that `pack_bits` packed."""
    size = int(np.prod(shape))
    return np.unpackbits(np.frombuffer(_bytes(text), np.uint8), count=size).astype(bool).reshape(shape)


def pack_numbers(numbers: NDArray[np.integer]) -> str:
    """Whole numbers from 0 to 65535, two bytes each, little-endian, in C order; `ValueError` for others."""
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < 2**16:
        raise ValueError("only numbers from 0 to 65535 can be packed")
    return _text(numbers.astype("<u2").tobytes())


def unpack_numbers(text: str, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """The numbers that `pack_numbers` packed."""
    return np.frombuffer(_bytes(text), "<u2").astype(np.uint16).reshape(shape)


def _text(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _bytes(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
