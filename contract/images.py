"""Image files and lists of pixels -> `uint8 [C, H, W]` in a model's shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from contract.card import InputSpec
from contract.errors import ImageTooLarge, InvalidImage
from contract.image_fitting import NOTHING_DONE, PLAIN, Done, ImageFitting, prepare, stretch_contrast
from contract.image_formats import AVIF, HEIC, looks_like_heic
from contract.pixel_lists import pixels_of_lists
from contract.plain_png import read_plain_png

# Our own limit is checked before decoding; Pillow's would only warn.
Image.MAX_IMAGE_PIXELS = None

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", *AVIF, *HEIC)
MEDIA_TYPES = (
    "image/png",
    "image/jpeg",
    "image/jpg",
    "image/bmp",
    "image/webp",
    "image/tiff",
    "image/gif",
    "image/avif",
    "image/heic",
    "image/heif",
)

MAX_SIDE = 65_535  # a resize needs memory in proportion to each side
MAX_SCANS = 200  # of a JPEG, each of which goes over all pixels; encoders write about ten

_REDUCED_SIDE = 512  # pixels; the decoder stays above it
_READING_SHARE = 8

_MODES = {1: "L", 3: "RGB"}
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_UNKNOWN_RANGE = ("I", "F")
_BILINEAR = Image.Resampling.BILINEAR

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Fitted:
    """Pixels in the model's shape, and how they were changed.

    `resized_from` is the original (height, width), `converted_from` the original colour mode as Pillow names it (such
    as `RGB`, `L` or `I;16`); None if the original was already as the model takes it.
    """

    pixels: Pixels
    resized_from: tuple[int, int] | None = None
    converted_from: str | None = None
    done: Done = NOTHING_DONE


_SCAN = b"\xff\xda"
_PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


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


def read_image(
    data: bytes,
    spec: InputSpec,
    *,
    max_pixels: int,
    fitting: ImageFitting = PLAIN,
    reduced_above: int | None = None,
) -> Fitted:
    """Decode an image file and fit it to the model's input.

    The EXIF orientation is applied, transparent pixels are blended with black, 16 bits are divided by 257, CMYK and
    palettes are converted by way of RGB, and a bilinear, antialiased resize gives the model's size; without a `fitting`
    it does not keep the aspect ratio. Of several frames the first is used. A JPEG of more than `reduced_above` pixels
    is decoded at a reduced scale, if its format allows. Raises `InvalidImage`, or `ImageTooLarge` before decoding.
    """
    mode = _MODES.get(spec.channels)
    if mode is None:
        raise InvalidImage(f"the model takes {spec.channels} channels, but image files have 1 or 3: send pixels")
    if fitting.is_plain and (pixels := read_plain_png(data, spec.shape)) is not None:
        check_size(spec.width, spec.height, max_pixels)
        return Fitted(pixels)
    image = _open(data)
    original = image.size
    if reduced_above is not None and image.width * image.height > reduced_above:
        _reduce(image, max_pixels)
    else:
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
    return _fitted(planes, spec, None if is_unchanged else image.mode, fitting, max(original))


def read_pixels(pixels: Any, spec: InputSpec, *, max_pixels: int, fitting: ImageFitting = PLAIN) -> Fitted:
    """Check nested lists of integers 0..255 or of floats 0..1, `[C][H][W]` or `[H][W]`, and fit them to the model.

    One channel and three channels are converted into each other as for image files; any other number must be the
    model's. Raises `InvalidImage` for anything else, and `ImageTooLarge`.
    """
    return fit_pixels(pixels_of_lists(pixels), spec, max_pixels=max_pixels, fitting=fitting)


def fit_pixels(planes: Pixels, spec: InputSpec, *, max_pixels: int, fitting: ImageFitting = PLAIN) -> Fitted:
    """Fit uint8 `[C, H, W]` to the model's input, as `read_pixels` does for lists."""
    channels, height, width = planes.shape
    check_size(width, height, max_pixels)
    if channels == spec.channels:
        return _fitted(planes, spec, None, fitting)
    if channels not in _MODES or spec.channels not in _MODES:
        raise InvalidImage(f"the pixels have {channels} channels, but the model takes {spec.channels}")
    image = Image.fromarray(planes[0] if channels == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0)))
    return _fitted(_planes(image.convert(_MODES[spec.channels])), spec, image.mode, fitting)


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except MemoryError:
        raise
    except Exception as error:  # as above
        if looks_like_heic(data) and not HEIC:
            raise InvalidImage("HEIC images are not read here: send JPEG, or install stl-snn[heic]") from error
        raise InvalidImage(
            f"not an image in one of the formats {', '.join(FORMATS)}, or its header is broken"
        ) from error


def _reduce(image: Image.Image, max_pixels: int) -> None:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8 of its size, by its coefficients; `ImageTooLarge` if that does not help.

    The decoder still reads all the data: an eighth of the pixels is charged for that. A progressive JPEG would be in
    memory as a whole.
    """
    whole = image.size
    if image.format != "JPEG" or image.info.get("progressive"):
        check_size(*whole, max_pixels)
        return
    image.draft(None, (_REDUCED_SIDE, _REDUCED_SIDE))
    if max(image.width * image.height, whole[0] * whole[1] // _READING_SHARE) > max_pixels:
        check_size(*whole, max_pixels)
    check_size(*whole, whole[0] * whole[1])


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


def _fitted(
    planes: Pixels, spec: InputSpec, converted_from: str | None, fitting: ImageFitting, original_side: int | None = None
) -> Fitted:
    """Uint8 `[C, H, W]` of any size -> the model's size. The longer side was `original_side` before it was decoded."""
    height, width = planes.shape[1:]
    scale = 1.0 if original_side is None else original_side / max(height, width)
    size = round(height * scale), round(width * scale)
    if fitting.is_plain:
        fitted = _resized(planes, spec)
        return Fitted(fitted, None if size == (spec.height, spec.width) else size, converted_from)
    part, done = prepare(planes, spec.width / spec.height, fitting)
    fitted = _resized(part, spec)
    if done.background is not None:
        fitted = stretch_contrast(fitted)
    return Fitted(fitted, None if size == (spec.height, spec.width) else size, converted_from, done.scaled(scale))


def _resized(planes: Pixels, spec: InputSpec) -> Pixels:
    if planes.shape[1:] == (spec.height, spec.width):
        return np.ascontiguousarray(planes)
    channels: Sequence[Pixels] = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((spec.width, spec.height), _BILINEAR))
        for plane in planes
    ]
    return np.stack(channels)
