from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from contract.card import InputSpec
from contract.errors import ImageTooLarge, InvalidImage
from contract.image_formats import HEIC, looks_like_image
from contract.images import FORMATS, Fitted, announced_size, read_image, read_pixels

GRAY = InputSpec(kind="image", channels=1, height=8, width=8)
COLOUR = InputSpec(kind="image", channels=3, height=8, width=8)
PLANE = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def read(data: bytes, spec: InputSpec = GRAY) -> Fitted:
    return read_image(data, spec, max_pixels=100_000)


def pixels(value: Any, spec: InputSpec = GRAY) -> Fitted:
    return read_pixels(value, spec, max_pixels=100_000)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_a_lossless_image_of_the_models_shape_is_taken_as_it_is(format: str) -> None:
    fitted = read(encoded(Image.fromarray(PLANE), format))
    np.testing.assert_array_equal(fitted.pixels, PLANE[None])
    assert fitted.pixels.dtype == np.uint8
    assert (fitted.resized_from, fitted.converted_from) == (None, None)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_of_the_list_is_read(format: str) -> None:
    data = encoded(Image.new("RGB", (8, 8), (200, 200, 200)), format)
    assert looks_like_image(data)
    assert announced_size(data) == (8, 8)
    assert np.abs(read(data, COLOUR).pixels.astype(int) - 200).max() <= 2


def test_colour_becomes_gray_and_gray_becomes_colour() -> None:
    red = read(encoded(Image.new("RGB", (8, 8), (255, 0, 0))))
    assert red.converted_from == "RGB"
    assert set(red.pixels.ravel()) == {76}
    gray = read(encoded(Image.fromarray(PLANE)), COLOUR)
    assert gray.converted_from == "L"
    np.testing.assert_array_equal(gray.pixels, np.stack([PLANE] * 3))


def test_sixteen_bits_are_divided_by_257() -> None:
    values = np.array([[0, 128, 257, 258, 32896, 65278, 65407, 65535]] * 8, dtype=np.uint16)
    fitted = read(encoded(Image.fromarray(values)))
    assert fitted.converted_from == "I;16"
    assert fitted.pixels[0, 0].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]


def test_transparency_lies_over_black() -> None:
    half = read(encoded(Image.new("RGBA", (8, 8), (200, 100, 50, 128))), COLOUR)
    assert half.converted_from == "RGBA"
    assert half.pixels[:, 0, 0].tolist() == [100, 50, 25]
    assert read(encoded(Image.new("LA", (8, 8), (255, 0)))).pixels.max() == 0


def test_a_transparent_palette_entry_is_black() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([10, 20, 30, 250, 250, 250])
    opaque = read(encoded(image))
    assert (opaque.converted_from, opaque.pixels.min()) == ("P", 250)
    assert read(encoded(image, transparency=1)).pixels.max() == 0


def test_a_transparent_gray_level_counts_as_a_conversion() -> None:
    fitted = read(encoded(Image.new("L", (8, 8), 7), transparency=7))
    assert (fitted.converted_from, fitted.pixels.max()) == ("L", 0)


def test_cmyk_goes_through_rgb() -> None:
    fitted = read(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), COLOUR)
    assert fitted.converted_from == "CMYK"
    assert fitted.pixels[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("format", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_the_orientation_of_exif_is_applied_before_anything_else(format: str, options: dict[str, Any]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = read(encoded(Image.fromarray(PLANE), format, exif=exif, **options))
    np.testing.assert_array_equal(turned.pixels[0], np.rot90(PLANE, -1))
    wide = read(encoded(Image.new("L", (20, 10)), exif=exif))
    assert wide.resized_from == (20, 10)


def test_another_size_is_resized_without_keeping_the_aspect() -> None:
    image = Image.fromarray(np.tile(np.array([[0, 255]], np.uint8), (16, 16)))
    fitted = read(encoded(image))
    assert fitted.resized_from == (16, 32)
    assert fitted.pixels.shape == (1, 8, 8)
    assert abs(int(fitted.pixels[0, 4, 4]) - 128) <= 8, "stripes finer than a pixel average out"


def test_only_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("L", (8, 8), value) for value in (10, 200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read(data).pixels.max() == 10


def test_a_large_image_is_refused_by_its_header() -> None:
    data = encoded(Image.new("L", (4000, 4000)))
    with pytest.raises(ImageTooLarge, match="4000 x 4000"):
        read(data[:100])


def test_a_canvas_larger_than_any_memory_is_refused_without_taking_it() -> None:
    header = encoded(Image.new("L", (8, 8)))
    data = header[:16] + (2**31 - 1).to_bytes(4, "big") * 2 + header[24:]
    with pytest.raises((ImageTooLarge, InvalidImage)):
        read(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"%PDF-1.4", encoded(Image.fromarray(PLANE))[:-30]],
)
def test_bytes_that_are_no_whole_image_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        read(data)


def test_a_format_beyond_the_list_is_refused() -> None:
    with pytest.raises(InvalidImage, match="PNG, JPEG"):
        read(encoded(Image.new("L", (8, 8)), "PPM"))


def test_pixels_of_32_bits_are_refused() -> None:
    with pytest.raises(InvalidImage, match="32 bits"):
        read(encoded(Image.new("F", (8, 8)), "TIFF"))


VALID = {format: encoded(Image.fromarray(PLANE), format) for format in FORMATS}


@given(format=st.sampled_from(FORMATS), at=st.integers(0, 2000), value=st.integers(0, 255), cut=st.integers(0, 2000))
def test_a_damaged_image_is_read_or_refused_and_nothing_else(format: str, at: int, value: int, cut: int) -> None:
    data = bytearray(VALID[format])
    data[at % len(data)] = value
    with suppress(InvalidImage, ImageTooLarge):
        assert read(bytes(data[: len(data) - cut % 40])).pixels.shape == (1, 8, 8)


def test_lists_of_pixels_are_taken_with_and_without_channels() -> None:
    np.testing.assert_array_equal(pixels(PLANE.tolist()).pixels, PLANE[None])
    np.testing.assert_array_equal(pixels([PLANE.tolist()]).pixels, PLANE[None])
    planes: NDArray[np.uint8] = np.stack([PLANE, PLANE + 1, PLANE + 2])
    np.testing.assert_array_equal(pixels(planes.tolist(), COLOUR).pixels, planes)


def test_lists_of_pixels_are_converted_and_resized_like_files() -> None:
    planes = np.random.default_rng(0).integers(0, 256, (3, 12, 10), dtype=np.uint8)
    listed = pixels(planes.tolist())
    filed = read(encoded(Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))))
    assert (listed.resized_from, listed.converted_from) == ((12, 10), "RGB")
    np.testing.assert_array_equal(listed.pixels, filed.pixels)


def test_a_number_of_channels_that_no_image_file_has_must_be_the_models() -> None:
    four = InputSpec(kind="image", channels=4, height=2, width=2)
    assert pixels([[[1, 2], [3, 4]]] * 4, four).pixels.shape == (4, 2, 2)
    assert pixels([[[1] * 4] * 4] * 4, four).resized_from == (4, 4)
    with pytest.raises(InvalidImage, match="3 channels"):
        pixels([[[1, 2], [3, 4]]] * 3, four)
    with pytest.raises(InvalidImage, match="send pixels"):
        read(VALID["PNG"], four)


@pytest.mark.parametrize(
    "value",
    [
        None, 5, "x", {}, [], [[]], [[[]]], [1, 2], [[1, 2], [3]], [[[1], [2]], [[3]]],
        [[True]], [[0.5, 2]], [[0.5, True]], [[1.5]], [["1"]], [[None]], [[-1]], [[256]], [[10**30]], [[[[1]]]],
        [[1, [2]]], [[float("nan")]],
    ],
)  # fmt: skip
def test_lists_that_are_no_pixels_are_refused(value: Any) -> None:
    with pytest.raises(InvalidImage):
        pixels(value)


def test_too_many_listed_pixels_are_refused() -> None:
    with pytest.raises(ImageTooLarge):
        read_pixels([[0] * 20] * 20, GRAY, max_pixels=399)


def test_a_jpeg_of_absurdly_many_scans_is_refused_before_it_is_decoded() -> None:
    plain = encoded(Image.fromarray(PLANE), "JPEG")
    scan = plain[plain.index(b"\xff\xda") : -2]

    with pytest.raises(InvalidImage, match="more than 200 scans"):
        read(plain[:-2] + scan * 200 + plain[-2:])
    assert read(plain).pixels.shape == (1, *PLANE.shape)


def test_floats_from_0_to_1_are_pixels_too() -> None:
    small = InputSpec(kind="image", channels=1, height=1, width=4)
    assert pixels([[0.0, 0.5, 1, 0.2]], small).pixels.tolist() == [[[0, 128, 255, 51]]]
    assert pixels([[0, 1, 1, 0]], small).pixels.tolist() == [[[0, 1, 1, 0]]], "whole numbers are levels up to 255"


def test_a_photo_beyond_the_limit_is_decoded_at_a_reduced_scale_where_the_caller_allows() -> None:
    wide = encoded(Image.new("L", (6000, 3000), 200), "JPEG")
    fitted = read_image(wide, GRAY, max_pixels=4_000_000, reduced_above=4_000_000)
    assert fitted.resized_from == (3000, 6000)
    assert set(fitted.pixels.ravel().tolist()) == {200}
    with pytest.raises(ImageTooLarge, match="6000 x 3000"):
        read_image(wide, GRAY, max_pixels=4_000_000)
    with pytest.raises(ImageTooLarge, match="6000 x 3000"):  # reading all of it still costs
        read_image(wide, GRAY, max_pixels=2_000_000, reduced_above=4_000_000)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_formats_that_need_the_whole_picture_in_memory_are_not_reduced(format: str) -> None:
    options = {"progressive": True} if format == "JPEG" else {}
    data = encoded(Image.new("L", (3000, 2000)), format, **options)
    with pytest.raises(ImageTooLarge, match="3000 x 2000"):
        read_image(data, GRAY, max_pixels=4_000_000, reduced_above=4_000_000)


@pytest.mark.skipif(bool(HEIC), reason="HEIC images are read here")
def test_heic_without_its_package_is_refused_with_the_package() -> None:
    with pytest.raises(InvalidImage, match=r"stl-snn\[heic\]"):
        read(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
