"""Image files and lists of pixels -> `uint8 [C, H, W]` in a model's shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import FailFast, Field, TypeAdapter, ValidationError

from contract.card import InputSpec
from contract.errors import ImageTooLarge, InvalidImage
from contract.plain_png import read_plain_png

# Our own limit is checked before decoding; Pillow's would only warn.
Image.MAX_IMAGE_PIXELS = None

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/bmp", "image/webp", "image/tiff", "image/gif")

MAX_SIDE = 65_535  # a resize needs memory in proportion to each side
MAX_SCANS = 200  # of a JPEG, each of which goes over all pixels; encoders write about ten

_MODES = {1: "L", 3: "RGB"}
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_UNKNOWN_RANGE = ("I", "F")
_BILINEAR = Image.Resampling.BILINEAR

Pixels = NDArray[np.uint8]
# Stop at the first bad pixel: errors for millions of them would fill the memory.
_Row = Annotated[list[Annotated[int, Field(strict=True, ge=0, le=255)]], FailFast()]
_Plane = Annotated[list[_Row], FailFast()]
_PLANE: TypeAdapter[_Plane] = TypeAdapter(_Plane)
_PLANES: TypeAdapter[list[_Plane]] = TypeAdapter(Annotated[list[_Plane], FailFast()])


@dataclass(frozen=True, slots=True)
class Fitted:
    """Pixels in the model's shape, and how they were changed.

    `resized_from` is the original (height, width), `converted_from` the original colour mode as Pillow names it (such
    as `RGB`, `L` or `I;16`); None if the original was already as the model takes it.
    """

    pixels: Pixels
    resized_from: tuple[int, int] | None = None
    converted_from: str | None = None


_SCAN = b"\xff\xda"
_PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def looks_like_image(data: bytes) -> bool:
    """Whether the first bytes are those of a supported image format."""
    starts = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"GIF87a", b"GIF89a")
    return data.startswith(starts) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def announced_size(data: bytes) -> tuple[int, int]:
    """Width and height from the file's header, without decoding it; (0, 0) if it is not an image."""
    if data.startswith(_PNG_HEAD) and len(data) >= 24:  # the most frequent format, without the 40 µs of Pillow
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    try:
        return _open(data).size
    except InvalidImage:
        return 0, 0


def check_size(width: int, height: int, max_pixels: int) -> None:
    """`ImageTooLarge` for an image of too many pixels, or with too long a side."""
    if width * height > max_pixels:
        raise ImageTooLarge(f"the image has {width} x {height} pixels; the limit is {max_pixels} pixels")
    if max(width, height) > MAX_SIDE:
        raise ImageTooLarge(f"the image has {width} x {height} pixels; the limit is {MAX_SIDE} per side")


def read_image(data: bytes, spec: InputSpec, *, max_pixels: int) -> Fitted:
    """Decode an image file and fit it to the model's input.

    The EXIF orientation is applied, transparent pixels are blended with black, 16 bits are divided by 257, CMYK and
    palettes are converted by way of RGB, and a bilinear, antialiased resize gives the model's size without keeping the
    aspect ratio. Of several frames the first is used. Raises `InvalidImage`, or `ImageTooLarge` before decoding.
    """
    mode = _MODES.get(spec.channels)
    if mode is None:
        raise InvalidImage(f"the model takes {spec.channels} channels, but image files have 1 or 3: send pixels")
    if (pixels := read_plain_png(data, spec.shape)) is not None:
        check_size(spec.width, spec.height, max_pixels)
        return Fitted(pixels)
    image = _open(data)
    check_size(image.width, image.height, max_pixels)
    if image.format == "JPEG" and data.count(_SCAN) > MAX_SCANS:
        raise InvalidImage(f"the JPEG image has more than {MAX_SCANS} scans")
    if image.mode in _UNKNOWN_RANGE:
        raise InvalidImage("pixels of 32 bits have no fixed range to scale to 0..255: send 8 or 16 bits")
    try:
        image.load()
        if image.info:  # may hold EXIF
            ImageOps.exif_transpose(image, in_place=True)
        is_unchanged = image.mode == mode and not image.has_transparency_data
        planes = _planes(image if is_unchanged else _opaque(image).convert(mode))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on broken files
        raise InvalidImage(f"the {image.format} image is truncated or broken and cannot be decoded") from error
    return _resized(planes, spec, None if is_unchanged else image.mode)


def read_pixels(pixels: Any, spec: InputSpec, *, max_pixels: int) -> Fitted:
    """Check nested lists of integers 0..255, `[C][H][W]` or `[H][W]`, and fit them to the model's input.

    One channel and three channels are converted into each other as for image files; any other number must be the
    model's. Raises `InvalidImage` for anything else, and `ImageTooLarge`.
    """
    return fit_pixels(_array(pixels), spec, max_pixels=max_pixels)


def fit_pixels(planes: Pixels, spec: InputSpec, *, max_pixels: int) -> Fitted:
    """Fit uint8 `[C, H, W]` to the model's input, as `read_pixels` does for lists."""
    channels, height, width = planes.shape
    check_size(width, height, max_pixels)
    if channels == spec.channels:
        return _resized(planes, spec, None)
    if channels not in _MODES or spec.channels not in _MODES:
        raise InvalidImage(f"the pixels have {channels} channels, but the model takes {spec.channels}")
    image = Image.fromarray(planes[0] if channels == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0)))
    return _resized(_planes(image.convert(_MODES[spec.channels])), spec, image.mode)


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise InvalidImage(
            f"not an image in one of the formats {', '.join(FORMATS)}, or its header is broken"
        ) from error


def _opaque(image: Image.Image) -> Image.Image:
    """The image with 8 bits per channel and without transparency, in any colour mode."""
    if image.mode in _SIXTEEN_BIT:
        return Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba).convert("RGB")
    if image.mode in _MODES.values() or image.mode == "1":
        return image
    return image.convert("RGB")


def _planes(image: Image.Image) -> Pixels:
    """An image with 8 bits per channel as `[C, H, W]`."""
    array = np.asarray(image)
    return array[np.newaxis] if array.ndim == 2 else array.transpose(2, 0, 1)


def _array(pixels: Any) -> Pixels:
    """Nested lists -> uint8 `[C, H, W]`."""
    has_channels = _is_list(pixels) and _is_list(pixels[0]) and _is_list(pixels[0][0])
    try:
        checked = _PLANES.validate_python(pixels) if has_channels else [_PLANE.validate_python(pixels)]
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = "".join(f"[{index}]" for index in problem["loc"])
        raise InvalidImage(
            f"pixels{where}: {problem['msg']}; pixels are integers from 0 to 255, [C][H][W] or [H][W]"
        ) from error
    try:
        array = np.array(checked, dtype=np.uint8)
    except ValueError as error:
        raise InvalidImage("pixels: all rows must have the same length, and all channels the same shape") from error
    if array.size == 0:
        raise InvalidImage("pixels: the image has no pixels")
    return array


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0


def _resized(planes: Pixels, spec: InputSpec, converted_from: str | None) -> Fitted:
    """Uint8 `[C, H, W]` of any size -> the model's size."""
    height, width = planes.shape[1:]
    if (height, width) == (spec.height, spec.width):
        return Fitted(np.ascontiguousarray(planes), None, converted_from)
    channels: Sequence[Pixels] = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((spec.width, spec.height), _BILINEAR))
        for plane in planes
    ]
    return Fitted(np.stack(channels), (height, width), converted_from)
