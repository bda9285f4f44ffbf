"""Decoding in the sandbox gives what decoding here gives, and cannot be kept up or used up by an input."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contract.card import Card, read_card
from contract.errors import BadRequest, ImageTooLarge, InvalidImage, ServiceError, TooLarge, TooManyInputs
from service.engine.interface import EventSample, ImageSample
from service.inference.decode import Decoded, DecodeOptions, File
from service.inference.decoding import TASK, decode_body, decode_inputs
from service.inference.inputs import Body
from service.inference.quick_inputs import QUICK_BODY
from service.sandbox.message import Spool
from service.sandbox.pool import Allowance, Sandbox
from tests.service.models_in_memory import decode_options_for

ROOT = Path(__file__).parents[3]
MIB = 2**20


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    made = Sandbox({TASK: decode_body}, processes=1, large=Allowance(160 * MIB))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(scope="module")
def image_options(tiny_store_root: Path) -> DecodeOptions:
    return decode_options_for(read_card(tiny_store_root / "tiny-image" / "1" / "model.pt"))


@pytest.fixture(scope="module")
def event_card(tiny_store_root: Path) -> Card:
    return read_card(tiny_store_root / "tiny-events" / "1" / "model.pt")


def noise(side: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def packed(events: int) -> bytes:
    column = np.zeros(events, np.int8)
    buffer = BytesIO()
    np.savez_compressed(buffer, t=column, x=column, y=column, p=column)
    return buffer.getvalue()


def form(*files: bytes) -> Body:
    parts = [b'--X\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n' % file for file in files]
    return Body("multipart/form-data; boundary=X", b"".join(parts) + b"--X--\r\n")


def spooled(data: bytes) -> Spool:
    spool = Spool()
    spool.write(data)
    return spool


def alike(left: Decoded, right: Decoded) -> bool:
    """As JSON, which has no tuples."""
    return json.dumps(left.preprocessing) == json.dumps(right.preprocessing)


def same(left: Decoded, right: Decoded) -> bool:
    match left.sample, right.sample:
        case ImageSample(pixels=a, seed=m), ImageSample(pixels=b, seed=n):
            return np.array_equal(a, b) and m == n and alike(left, right)
        case EventSample(events=a), EventSample(events=b):
            return np.array_equal(a, b) and alike(left, right)
    return False


@pytest.mark.parametrize(
    "body",
    [
        lambda files: form(*files),
        lambda files: Body(
            "application/json; charset=utf-8",
            json.dumps({"inputs": [{"image": base64.b64encode(x).decode(), "seed": 7} for x in files]}).encode(),
        ),
    ],
)
async def test_a_large_body_is_decoded_apart_as_it_would_be_here(
    body: Callable[[list[bytes]], Body], sandbox: Sandbox, image_options: DecodeOptions
) -> None:
    files = [noise(200), noise(8), noise(100)]
    apart = await decode_inputs(body(files), image_options, sandbox)
    here = await decode_inputs(body(files), image_options, None)

    assert len(apart) == 3
    assert all(map(same, apart, here))


async def test_a_spool_is_decoded_and_closed(sandbox: Sandbox, image_options: DecodeOptions) -> None:
    file = noise(300)
    spool = spooled(file)
    [decoded] = await decode_inputs(Body("image/png", spool), image_options, sandbox)
    [here] = await decode_inputs([file], image_options, None)

    assert same(decoded, here)
    with pytest.raises(ValueError, match="closed"):
        spool.fileno()


@pytest.mark.parametrize("count", [1, 3, 1100])
async def test_bare_pixels_are_samples_one_after_the_other_however_many(
    sandbox: Sandbox, image_options: DecodeOptions, count: int
) -> None:
    options = replace(image_options, format="tensor", seed=7, max_inputs=2000)
    pixels = np.random.default_rng(count).integers(0, 256, (count, *options.input.shape), np.uint8)
    sent = pixels.tobytes()
    body = Body("application/octet-stream; x=y", sent if len(sent) <= QUICK_BODY else spooled(sent))
    decoded = await decode_inputs(body, options, sandbox)
    samples = [each.sample for each in decoded if isinstance(each.sample, ImageSample)]
    assert np.array_equal(np.stack([sample.pixels for sample in samples]), pixels)
    assert {(sample.seed, each.preprocessing) for sample, each in zip(samples, decoded, strict=True)} == {(7, None)}


@pytest.mark.parametrize(
    ("sent", "error", "message"),
    [
        (b"", BadRequest, "empty"),
        (
            bytes(63),
            InvalidImage,
            r"has 63 bytes, but a sample of model .* has 64 \(uint8, \[C, H, W\] = \[1, 8, 8\]\)",
        ),
        (bytes(65), InvalidImage, "65 bytes"),
        (bytes(64 * 5), TooManyInputs, "at most 4"),
    ],
)
async def test_bare_pixels_of_another_length_are_refused(
    image_options: DecodeOptions, sent: bytes, error: type[ServiceError], message: str
) -> None:
    options = replace(image_options, format="tensor", max_inputs=4)
    with pytest.raises(error, match=message):
        await decode_inputs(Body("application/octet-stream", sent), options, None)


async def test_files_in_a_form_keep_their_format_beside_that_of_bare_pixels(image_options: DecodeOptions) -> None:
    [decoded] = await decode_inputs(form(noise(8)), replace(image_options, format="tensor"), None)
    [expected] = await decode_inputs(form(noise(8)), image_options, None)
    assert same(decoded, expected)


async def test_a_recording_is_decoded_apart_as_it_would_be_here(sandbox: Sandbox, event_card: Card) -> None:
    options = decode_options_for(event_card, format="nmnist")
    recording = b"".join(
        bytes([i % 8, i // 8 % 8, (i % 2) << 7 | i >> 16, i >> 8 & 255, i & 255]) for i in range(40_000)
    )
    [apart] = await decode_inputs(Body("application/octet-stream", recording), options, sandbox)
    [here] = await decode_inputs([File(recording)], options, None)

    assert isinstance(apart.sample, EventSample)
    assert apart.preprocessing is not None
    assert same(apart, here)


async def test_what_is_wrong_with_an_input_names_it(sandbox: Sandbox, image_options: DecodeOptions) -> None:
    with pytest.raises(InvalidImage) as caught:
        await decode_inputs(form(noise(200), b"not an image", noise(200)), image_options, sandbox)
    assert caught.value.param == "inputs[1]"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (form(*[noise(8)] * 300), TooManyInputs),
        (Body("multipart/form-data; boundary=X", b"--X\r\n" + bytes(20_000)), BadRequest),
    ],
)
async def test_what_is_wrong_with_a_body_is_found_apart_too(
    body: Body, error: type[ServiceError], sandbox: Sandbox, image_options: DecodeOptions
) -> None:
    with pytest.raises(error):
        await decode_inputs(body, image_options, sandbox)


async def test_a_small_file_that_unpacks_to_more_than_the_memory_is_refused(sandbox: Sandbox, event_card: Card) -> None:
    with pytest.raises(TooLarge):
        await decode_inputs(
            Body("application/octet-stream", packed(4_900_000)), decode_options_for(event_card), sandbox
        )


async def test_an_image_above_the_small_limits_is_decoded_as_a_large_task(
    sandbox: Sandbox, image_options: DecodeOptions
) -> None:
    file = noise(1500)
    [decoded] = await decode_inputs(Body("image/png", file), image_options, sandbox)
    [here] = await decode_inputs([file], image_options, None)

    assert same(decoded, here)
    with pytest.raises(ImageTooLarge, match="the limit is 2000000"):
        await decode_inputs(Body("image/png", file), replace(image_options, max_image_pixels=2_000_000), sandbox)


async def test_json_that_takes_more_memory_than_a_small_task_has_is_read_as_a_large_one(
    image_options: DecodeOptions,
) -> None:
    many = Body("application/json", b'{"inputs":[' + b",".join([b"0"] * 4_000_000) + b"]}")
    made = Sandbox({TASK: decode_body}, processes=1, small=Allowance(40 * MIB), large=Allowance(400 * MIB))
    await made.start()
    try:
        with pytest.raises(TooManyInputs):
            await decode_inputs(many, image_options, made)
    finally:
        await made.stop()


async def test_a_decode_is_given_up_at_its_deadline_and_the_next_one_runs(
    sandbox: Sandbox, image_options: DecodeOptions
) -> None:
    large = BytesIO()
    Image.fromarray(np.zeros((3000, 3000), np.uint8)).save(large, "PNG")
    slow = form(*[large.getvalue()] * 100)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await decode_inputs(slow, image_options, sandbox)
    async with asyncio.timeout(10):
        assert await decode_inputs(form(noise(200)), image_options, sandbox)


def test_the_processes_of_the_sandbox_do_not_load_torch() -> None:
    check = "import sys, service.inference.decoding; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0
