"""One input as a caller sent it -> the sample that the engine runs, and the conversions on the way."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from contract.card import Encoder, InputSpec
from contract.errors import InvalidEvents, InvalidImage, ServiceError, WrongInputKind
from contract.events import events_from_lists, read_events
from contract.events.read import NAMES_WITHOUT_HEADER, format_of
from contract.image_fitting import PLAIN, ImageFitting
from contract.image_formats import looks_like_image
from contract.images import Fitted, read_image, read_pixels
from service.engine.interface import ImageSample, Sample
from service.inference.bodies import (
    EventsInput,
    EventsPreprocessing,
    ImageInput,
    ImagePreprocessing,
    Input,
    PixelsInput,
    RecordingInput,
)
from service.inference.fit_recording import Fitting, fit_recording


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was sent. `kind` is `image` if its media type says so; otherwise the content and `name` decide."""

    data: bytes
    kind: Literal["image"] | None = None
    name: str | None = None


RawInput = File | Input

TENSOR = "tensor"
"""The format of bare pixels, which `decode_tensor` reads; files beside it have their own."""


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """What the inputs of one request are decoded for, and the limits of the service.

    `model` is the model's name in the store, `input` and `encoder` are its card's. `seed`, `format` and `camera` are
    those of the inputs that do not bring their own; `fitting` is for recordings, `image_fitting` for images. A JPEG of
    more than `reduced_above` pixels is decoded at a reduced scale.
    """

    model: str
    input: InputSpec
    encoder: Encoder
    seed: int
    format: str | None
    camera: str | None
    max_image_pixels: int
    max_events: int
    max_inputs: int
    fitting: Fitting
    image_fitting: ImageFitting = PLAIN
    reduced_above: int | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """A sample ready to run; `preprocessing` is None for an image that needed no conversion."""

    sample: Sample
    preprocessing: ImagePreprocessing | EventsPreprocessing | None


def decode_all(inputs: Sequence[RawInput], options: DecodeOptions) -> list[Decoded]:
    """Decode every input, or raise the first `ServiceError` with the input as its `param` (`inputs[2]`)."""
    decoded = []
    for index, each in enumerate(inputs):
        try:
            decoded.append(decode(each, options))
        except ServiceError as error:
            error.param = f"inputs[{index}]"
            raise
    return decoded


def decode(raw: RawInput, options: DecodeOptions) -> Decoded:
    """Decode one input for the model in `options`.

    Raises `InvalidImage`, `InvalidEvents`, `WrongInputKind` (an image for an event model, or the reverse),
    `ImageTooLarge` or `TooManyEvents`.
    """
    _check_kind(raw, options)
    max_events = options.max_events
    match raw:
        case File():
            return _decode_file(raw, options)
        case ImageInput():
            data = _from_base64(raw.image, InvalidImage)
            return fitted_image(_read_image(data, options), raw.seed, options)
        case PixelsInput():
            fitted = read_pixels(
                raw.pixels, options.input, max_pixels=options.max_image_pixels, fitting=options.image_fitting
            )
            return fitted_image(fitted, raw.seed, options)
        case EventsInput(events=columns):
            events = events_from_lists(
                columns.t, columns.x, columns.y, columns.p, max_events=max_events, any_order=True
            )
            return Decoded(*fit_recording(events, options.input, options.encoder, options.fitting))
        case RecordingInput():
            data = _from_base64(raw.recording, InvalidEvents)
            format, camera = raw.format or options.format, raw.camera or options.camera
            events = read_events(data, format, camera=camera, max_events=max_events, any_order=True)
            return Decoded(*fit_recording(events, options.input, options.encoder, options.fitting))


def _check_kind(raw: RawInput, options: DecodeOptions) -> None:
    """`WrongInputKind` if the caller declared the other kind: by its JSON, its media type, or an event format."""
    if isinstance(raw, File):
        is_image, is_recording = raw.kind == "image", raw.kind is None and options.format not in (None, TENSOR)
    else:
        is_image = isinstance(raw, ImageInput | PixelsInput)
        is_recording = not is_image
    if is_recording if options.input.kind == "image" else is_image:
        raise wrong_kind(options)


def wrong_kind(options: DecodeOptions) -> WrongInputKind:
    """The error for an input of the kind that the model in `options` does not take."""
    if options.input.kind == "image":
        return WrongInputKind(f"model {options.model!r} takes images, and this is an event recording")
    return WrongInputKind(f"model {options.model!r} takes event recordings, and this is an image")


def _decode_file(file: File, options: DecodeOptions) -> Decoded:
    """Read a file as the model's kind of input; if that fails, see whether it is the other kind."""
    if options.input.kind == "image":
        if not looks_like_image(file.data) and _looks_like_recording(file):
            raise wrong_kind(options)
        return fitted_image(_read_image(file.data, options), None, options)
    try:
        events = read_events(
            file.data,
            options.format,
            filename=file.name,
            camera=options.camera,
            max_events=options.max_events,
            any_order=True,
        )
    except InvalidEvents:
        if looks_like_image(file.data):
            raise wrong_kind(options) from None
        raise
    return Decoded(*fit_recording(events, options.input, options.encoder, options.fitting))


def _looks_like_recording(file: File) -> bool:
    try:
        format = format_of(file.data)
    except InvalidEvents:  # a recording in an unsupported version of its format
        return True
    return format is not None or PurePath(file.name or "").suffix.lower() in NAMES_WITHOUT_HEADER


def _read_image(data: bytes, options: DecodeOptions) -> Fitted:
    return read_image(
        data,
        options.input,
        max_pixels=options.max_image_pixels,
        fitting=options.image_fitting,
        reduced_above=options.reduced_above,
    )


def _from_base64(text: str, failure: type[InvalidImage] | type[InvalidEvents]) -> bytes:
    """The bytes of base64, or of a `data:` URL in base64, as a browser's `FileReader` makes it."""
    refusal = failure("not base64: the standard alphabet with padding and without spaces, or a data: URL of it")
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise refusal
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise refusal from error
    if base64.b64encode(data) != text.encode():  # the decoder accepts superfluous padding
        raise refusal
    return data


def fitted_image(fitted: Fitted, seed: int | None, options: DecodeOptions) -> Decoded:
    """The sample of pixels in the model's shape; without a `seed` of its own, with that of the request."""
    preprocessing: ImagePreprocessing = {}
    if fitted.resized_from is not None:
        preprocessing["resized_from"] = fitted.resized_from
    if fitted.converted_from is not None:
        preprocessing["converted_from"] = fitted.converted_from
    done = fitted.done
    if options.image_fitting.invert is not None:
        preprocessing["inverted"] = done.inverted
    if done.background is not None:
        preprocessing["background"] = done.background
    if done.window is not None:
        preprocessing["window"] = done.window
    if done.padded_to is not None:
        preprocessing["padded_to"] = done.padded_to
    return Decoded(ImageSample(fitted.pixels, options.seed if seed is None else seed), preprocessing or None)
