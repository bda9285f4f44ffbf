import io
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.card import Card, read_card
from service.inference.bodies import PixelsInput
from service.inference.decode import File
from service.inference.quick_inputs import QUICK_INPUTS, are_quick
from tests.service.models_in_memory import decode_options_for


def image(side: int = 28, format: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.zeros((side, side), np.uint8)).save(buffer, format, **options)
    return buffer.getvalue()


def packed(events: int) -> bytes:
    buffer = io.BytesIO()
    column = np.zeros(events, np.int8)
    np.savez_compressed(buffer, t=column, x=column, y=column, p=column)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def image_card(tiny_store_root: Path) -> Card:
    return read_card(tiny_store_root / "tiny-image" / "1" / "model.pt")


@pytest.fixture(scope="module")
def event_card(tiny_store_root: Path) -> Card:
    return read_card(tiny_store_root / "tiny-events" / "1" / "model.pt")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP"])
def test_a_small_image_is_decoded_at_once(format: str, image_card: Card) -> None:
    assert are_quick([File(image(format=format))], decode_options_for(image_card))


def test_a_small_file_of_a_large_image_is_not(image_card: Card) -> None:
    large = image(2000)
    assert len(large) < 16 * 1024
    assert not are_quick([File(large)], decode_options_for(image_card))


def test_many_small_images_are_not(image_card: Card) -> None:
    options = decode_options_for(image_card)
    assert are_quick([File(image(8))] * QUICK_INPUTS, options)
    assert not are_quick([File(image(8))] * (QUICK_INPUTS + 1), options)
    assert not are_quick([File(image(200))] * 4, options)
    assert not are_quick([PixelsInput(pixels=[[1]])] * (QUICK_INPUTS + 1), options)


def test_a_jpeg_of_many_scans_is_not(image_card: Card) -> None:
    plain = image(format="JPEG")
    scan = plain[plain.index(b"\xff\xda") : -2]
    assert not are_quick([File(plain[:-2] + scan * 40 + plain[-2:])], decode_options_for(image_card))


def test_a_recording_of_some_thousand_events_is_decoded_at_once(event_card: Card) -> None:
    options = decode_options_for(event_card)
    assert are_quick([File(bytes(5 * 10_000), name="a.bin")], options)
    assert not are_quick([File(bytes(5 * 20_000), name="a.bin")], options)


def test_a_packed_recording_is_not_however_small_it_is(event_card: Card) -> None:
    recording = packed(100_000)
    assert zipfile.is_zipfile(BytesIO(recording))
    assert len(recording) < 4096
    assert not are_quick([File(recording)], decode_options_for(event_card))
