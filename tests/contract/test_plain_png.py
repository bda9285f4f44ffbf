"""The short way to read a PNG gives the pixels and the errors of Pillow's way."""

import random
import struct
import zlib
from io import BytesIO
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from contract.card import InputSpec
from contract.errors import ImageTooLarge, ServiceError
from contract.images import read_image
from contract.plain_png import read_plain_png

START, MODES, TYPES = b"\x89PNG\r\n\x1a\n", {1: "L", 3: "RGB"}, {1: 0, 3: 2}


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def written(pixels: Any, filters: list[int], level: int = 6, extra: bytes = b"") -> bytes:
    """A PNG of pixels `[H, W, C]` whose rows have these filters."""
    height, width, channels = pixels.shape
    rows, above = b"", np.zeros(width * channels, np.int64)
    for row, kind in zip(pixels.reshape(height, -1).astype(np.int64), filters, strict=True):
        left, corner = (np.concatenate([np.zeros(channels, np.int64), line[:-channels]]) for line in (row, above))
        guess = left + above - corner
        away = [abs(guess - each) for each in (left, above, corner)]
        paeth = np.where((away[0] <= away[1]) & (away[0] <= away[2]), left, np.where(away[1] <= away[2], above, corner))
        base = [0 * row, left, above, (left + above) // 2, paeth][kind]
        rows += bytes([kind]) + ((row - base) % 256).astype(np.uint8).tobytes()
        above = row
    head = struct.pack(">IIBBBBB", width, height, 8, TYPES[channels], 0, 0, 0)
    return START + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows, level)) + chunk(b"IEND", b"")


def outcome(data: bytes, spec: InputSpec) -> Any:
    try:
        read = read_image(data, spec, max_pixels=10**6)
    except ServiceError as error:
        return type(error), error.message
    return read.pixels.tolist(), read.resized_from, read.converted_from


def same_as_pillow(data: bytes, spec: InputSpec) -> bool:
    with patch("contract.images.read_plain_png", return_value=None):
        expected = outcome(data, spec)
    return bool(outcome(data, spec) == expected)


def specification(pixels: Any) -> InputSpec:
    height, width, channels = pixels.shape
    return InputSpec(kind="image", channels=channels, height=height, width=width)


@st.composite
def images(draw: st.DrawFn) -> tuple[Any, bytes]:
    height, width, channels = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.sampled_from([1, 3]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    pixels = random.integers(0, draw(st.sampled_from([2, 256])), (height, width, channels), np.uint8)
    filters = draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    return pixels, written(pixels, filters, draw(st.integers(0, 9)))


@settings(deadline=None)
@given(images())
def test_every_filter_is_undone(image: tuple[Any, bytes]) -> None:
    pixels, data = image
    spec = specification(pixels)
    found = read_plain_png(data, spec.shape)
    assert found is not None
    assert found.flags.c_contiguous
    assert np.array_equal(found, pixels.transpose(2, 0, 1))
    assert same_as_pillow(data, spec)


@settings(deadline=None, max_examples=300)
@given(images(), st.randoms(use_true_random=False), st.booleans())
def test_a_damaged_image_has_the_pixels_or_the_error_that_pillow_finds(
    image: tuple[Any, bytes], chance: random.Random, has_right_sum: bool
) -> None:
    pixels, data = image
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        damaged[chance.randrange(8, len(damaged))] = chance.randrange(256)
    if has_right_sum:  # as whoever makes such a file on purpose would see to
        end = len(data) - 16
        damaged[end : end + 4] = struct.pack(">I", zlib.crc32(bytes(damaged[37:end])))
    cut = len(damaged) if chance.random() < 0.7 else chance.randrange(len(damaged))
    assert same_as_pillow(bytes(damaged[:cut]), specification(pixels))


def test_what_is_not_plain_is_left_to_pillow() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    plain, spec = written(grey, [0] * 8), specification(grey)
    body = zlib.compress(bytes(72))
    for other in (
        written(grey, [0] * 8, extra=chunk(b"tRNS", b"\0\x07")),
        written(grey, [0] * 8, extra=chunk(b"gAMA", b"\0\0\xb1\x8f")),
        written(grey.repeat(3, axis=2), [0] * 8),
        written(grey[:7], [0] * 7),
        plain + b"more",
        plain[:-1],
        plain[:33] + chunk(b"IDAT", body[:5]) + chunk(b"IDAT", body[5:]) + plain[-12:],
        plain[:33] + chunk(b"IDAT", body[:-9]) + plain[-12:],
        plain[:-17] + b"\0" + plain[-16:],
        plain[:-13] + bytes([plain[-13] ^ 1]) + plain[-12:],
        b"",
    ):
        assert read_plain_png(other, spec.shape) is None
        assert same_as_pillow(other, spec)
    assert read_plain_png(plain, (2, 8, 8)) is None


def test_pillows_own_files_are_read_and_the_bound_of_pixels_holds() -> None:
    for channels, mode in MODES.items():
        pixels = np.random.default_rng(channels).integers(0, 256, (28, 28, channels), np.uint8)
        Image.fromarray(pixels.squeeze(), mode).save(file := BytesIO(), "PNG")
        spec = specification(pixels)
        assert read_plain_png(file.getvalue(), spec.shape) is not None
        assert same_as_pillow(file.getvalue(), spec)
        with pytest.raises(ImageTooLarge):
            read_image(file.getvalue(), spec, max_pixels=28 * 28 - 1)
