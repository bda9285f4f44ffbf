"""Which inputs are decoded on the event loop: those that take it about a millisecond at most, whatever is in them."""

from collections.abc import Sequence
from pathlib import PurePath

from contract.errors import InvalidEvents
from contract.events.read import NAMES_WITHOUT_HEADER, format_of
from contract.image_formats import looks_like_image
from contract.images import announced_size
from service.inference.bodies import ImageInput, RecordingInput
from service.inference.decode import DecodeOptions, File, RawInput

QUICK_BYTES = 16 * 1024
QUICK_PIXELS = 256 * 256
QUICK_INPUTS = 16
QUICK_SCANS = 16  # a progressive JPEG may hold as many as its bytes allow, each over all pixels

_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")
_SCAN = b"\xff\xda"
# Bytes of a recording that are read within a millisecond, by format. Packed formats may hold a thousand times more.
_RECORDINGS = {
    "nmnist": 64 * 1024,
    "dat": 64 * 1024,
    "evt2": 64 * 1024,
    "npy": 32 * 1024,
    "csv": 8 * 1024,
    "es": 4 * 1024,
    "evt21": 4 * 1024,
    "evt3": 4 * 1024,
}
QUICK_BODY = max(QUICK_BYTES, *_RECORDINGS.values())


def are_quick(inputs: Sequence[RawInput], options: DecodeOptions) -> bool:
    """Whether to decode these inputs of one request on the event loop."""
    if not options.image_fitting.is_plain:  # which looks at the whole picture
        return False
    return len(inputs) <= QUICK_INPUTS and all(_is_quick(each, options, QUICK_PIXELS // len(inputs)) for each in inputs)


def _is_quick(raw: RawInput, options: DecodeOptions, pixels: int) -> bool:
    match raw:
        case ImageInput() | RecordingInput():  # packed in base64, and seldom small
            return False
        case File() if options.input.kind == "image" or looks_like_image(raw.data):
            return _is_quick_image(raw.data, pixels)
        case File():
            return _is_quick_recording(raw, options)
        case _:  # lists in JSON, which was short enough to be parsed on the event loop
            return True


def _is_quick_image(data: bytes, pixels: int) -> bool:
    if len(data) > QUICK_BYTES or data.count(_SCAN) > QUICK_SCANS:
        return False
    if not data.startswith(_IMAGES):
        return not looks_like_image(data)
    width, height = announced_size(data)
    return width * height <= pixels


def _is_quick_recording(file: File, options: DecodeOptions) -> bool:
    if len(file.data) > QUICK_BODY:
        return False
    try:
        format = format_of(file.data) or options.format
    except InvalidEvents:  # which is found out as quickly again
        return True
    format = format or NAMES_WITHOUT_HEADER.get(PurePath(file.name or "").suffix.lower())
    return format is None or len(file.data) <= _RECORDINGS.get(format, 0)
