"""Images that are truncated, huge, rare or no images."""

import struct
import zlib
from base64 import b64encode
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from contract.card import InputSpec
from contract.errors import ImageTooLarge, InvalidImage
from contract.images import FORMATS, read_image
from tests.hostile.refusals import IMAGE, JSON, OCTETS, check_shows_no_inside, check_still_answers, png, refused
from tests.hostile.server import Server, code_of, head
from tests.service.serving import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")

RNG = np.random.default_rng(3)
NOISE = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)


def saved(format: str, mode: str = "RGB", **options: Any) -> bytes:
    stream = BytesIO()
    Image.fromarray(NOISE).convert(mode).save(stream, format, **options)
    return stream.getvalue()


def png_of(width: int, height: int, *, depth: int = 1, rows: bytes = b"") -> bytes:
    """A PNG of any size; `rows` are its raw lines, all zero where there are none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    line = bytes(1 + (width * depth + 7) // 8)
    content = packer.compress(rows) if rows else b"".join(packer.compress(line) for _ in range(height))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", content + packer.flush()) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "application/json"])
async def test_a_decompression_bomb_is_refused_by_its_header(server: Server, kind: str) -> None:
    bomb = png_of(19_000, 19_000)
    assert len(bomb) < 100_000
    body = b'{"inputs": [{"image": "%b"}]}' % b64encode(bomb) if kind == "application/json" else bomb
    with server.growing_less_than(20):
        answer = server.send([head(IMAGE, f"Content-Length: {len(body)}", kind=kind), body])
    assert code_of(answer) == (413, "image_too_large")
    server.check_still_answers()


async def test_an_image_of_one_endless_row_is_refused_by_its_header(server: Server) -> None:
    """A resize takes memory by the longer side: 270 MB for this one."""
    bomb = png_of(4096 * 4096, 1, depth=8)
    with server.growing_less_than(20):
        answer = server.send([head(IMAGE, f"Content-Length: {len(bomb)}", kind="image/png"), bomb])
    assert code_of(answer) == (413, "image_too_large")
    server.check_still_answers()


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
async def test_an_image_truncated_anywhere_is_refused(client: Client, format: str) -> None:
    data = saved(format)
    needed = data.index(b"IEND") - 16 if format == "PNG" else len(data) - 2  # ahead of checksums and end marks
    for length in sorted({1, 2, 3, 7, 8, 9, needed - 1, *RNG.integers(10, needed, 25).tolist()}):
        answer = await client.post(IMAGE, content=data[:length], headers={"Content-Type": f"image/{format.lower()}"})
        assert answer.status_code == 422, length
        assert answer.json()["error"]["code"] == "invalid_image"
        assert answer.json()["error"]["param"] == "inputs[0]"
        check_shows_no_inside(answer.text)
    await check_still_answers(client)


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved("JPEG", exif=exif)


def sixteen_bits() -> bytes:
    stream = BytesIO()
    Image.fromarray(RNG.integers(0, 65536, (9, 5)).astype(np.uint16)).save(stream, "PNG")
    return stream.getvalue()


def animated(format: str) -> bytes:
    frames = [Image.fromarray(np.roll(NOISE, 5 * step)) for step in range(3)]
    stream = BytesIO()
    frames[0].save(stream, format, save_all=True, append_images=frames[1:])
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "preprocessing"),
    [
        (animated("GIF"), {"resized_from": [40, 30]}),
        (animated("WEBP"), {"resized_from": [40, 30], "converted_from": "RGB"}),
        (animated("PNG"), {"resized_from": [40, 30], "converted_from": "RGB"}),
        (saved("JPEG", "CMYK"), {"resized_from": [40, 30], "converted_from": "CMYK"}),
        (saved("TIFF", "CMYK"), {"resized_from": [40, 30], "converted_from": "CMYK"}),
        (sixteen_bits(), {"resized_from": [9, 5], "converted_from": "I;16"}),
        (saved("PNG", "RGBA"), {"resized_from": [40, 30], "converted_from": "RGBA"}),
        (saved("PNG", "LA"), {"resized_from": [40, 30], "converted_from": "LA"}),
        (saved("PNG", "1"), {"resized_from": [40, 30], "converted_from": "1"}),
        (rotated(), {"resized_from": [30, 40], "converted_from": "RGB"}),
        (png([[7]]), {"resized_from": [1, 1]}),
    ],
)
async def test_rare_images_are_answered(client: Client, data: bytes, preprocessing: dict[str, Any]) -> None:
    answer = await client.post(IMAGE, content=data, headers=OCTETS)
    assert answer.status_code == 200, answer.text
    found = answer.json()["predictions"][0]["preprocessing"]
    if data.startswith(b"GIF"):  # of a palette or gray, as its writer liked
        found.pop("converted_from", None)
    assert found == preprocessing


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"P5 2 2 255 \0\0\0\0",
        b"\x00\x00\x01\x00\x01\x00",
        bytes(64),
    ],
)
async def test_what_is_no_image_of_the_list_is_refused(client: Client, data: bytes) -> None:
    await refused(client, IMAGE, 422, "invalid_image", "inputs[0]", content=data, headers={"Content-Type": "image/png"})
    body = {"inputs": [{"image": b64encode(data).decode()}]}
    await refused(client, IMAGE, 422, "invalid_image", "inputs[0]", json=body)


async def test_svg_is_no_media_type(client: Client) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    headers = {"Content-Type": "image/svg+xml"}
    await refused(client, IMAGE, 415, "unsupported_media_type", content=svg, headers=headers)


@pytest.mark.parametrize(
    "text", ["", "data:image/png;base64,AAAA", "AA", "AA=", "AAA=====", "AA AA", "\u0430AAA", "-_-_"]
)
async def test_what_is_no_base64_or_no_image_in_it_is_refused(client: Client, text: str) -> None:
    await refused(client, IMAGE, 422, "invalid_image", "inputs[0]", json={"inputs": [{"image": text}]}, headers=JSON)


@pytest.mark.parametrize("format", FORMATS)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 10**6),
)
@settings(deadline=None, max_examples=40)
async def test_any_changed_image_is_read_or_refused(format: str, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(saved(format))
    for position, value in changes:
        data[position % len(data)] = value
    spec = InputSpec(kind="image", channels=1, height=8, width=8)
    try:
        fitted = read_image(bytes(data[: len(data) - cut % len(data) * (cut % 2)]), spec, max_pixels=100_000)
    except (InvalidImage, ImageTooLarge) as error:
        check_shows_no_inside(error.message)
    else:
        assert fitted.pixels.shape == (1, 8, 8)
