"""What a caller sent as one input -> the sample that the model runs, and what was done to it on the way."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contract.card import Card, EventEncoder
from contract.errors import InvalidEvents, InvalidImage, ServiceError, WrongInputKind
from contract.events import check_events, events_from_lists, read_events
from contract.events.read import NAMES_WITHOUT_HEADER, format_of
from contract.images import Fitted, looks_like_image, pixel_count, read_image, read_pixels
from service.engine.interface import EventSample, ImageSample, Sample
from service.inference.bodies import (
    EventsInput,
    EventsPreprocessing,
    ImageInput,
    ImagePreprocessing,
    Input,
    PixelsInput,
    RecordingInput,
)

QUICK_BYTES = 16 * 1024
QUICK_PIXELS = 256 * 256


@dataclass(frozen=True, slots=True)
class File:
    """A file as it came: `kind` is what its sender declared it to be, None where its content decides."""

    data: bytes
    kind: Literal["image", "recording"] | None = None
    name: str | None = None


RawInput = File | Input


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """What holds for every input of a request that does not say otherwise, and the limits of the service."""

    max_image_pixels: int
    max_events: int
    seed: int = 0
    format: str | None = None
    camera: str | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """A sample ready to run; `preprocessing` is None for an image that was taken as it came."""

    sample: Sample
    preprocessing: ImagePreprocessing | EventsPreprocessing | None


def decode_all(inputs: Sequence[RawInput], card: Card, options: DecodeOptions) -> list[Decoded]:
    """Decode every input, or raise the first one's `ServiceError` with `param` naming it (`inputs[2]`)."""
    decoded = []
    for index, given in enumerate(inputs):
        try:
            decoded.append(decode(given, card, options))
        except ServiceError as error:
            error.param = f"inputs[{index}]"
            raise
    return decoded


def decode(given: RawInput, card: Card, options: DecodeOptions) -> Decoded:
    """Decode one input for the model of `card`.

    Raises `InvalidImage`, `InvalidEvents`, `WrongInputKind` (an image for an event model, or the reverse),
    `ImageTooLarge` or `TooManyEvents`.
    """
    _check_kind(given, card)
    match given:
        case File():
            return _decode_file(given, card, options)
        case ImageInput():
            data = _from_base64(given.image, InvalidImage)
            return _image(read_image(data, card.input, max_pixels=options.max_image_pixels), given.seed, options)
        case PixelsInput():
            return _image(
                read_pixels(given.pixels, card.input, max_pixels=options.max_image_pixels), given.seed, options
            )
        case EventsInput():
            columns = given.events
            events = events_from_lists(columns.t, columns.x, columns.y, columns.p, max_events=options.max_events)
            return _recording(events, card)
        case RecordingInput():
            data = _from_base64(given.recording, InvalidEvents)
            return _recording(
                read_events(
                    data,
                    given.format or options.format,
                    camera=given.camera or options.camera,
                    max_events=options.max_events,
                ),
                card,
            )


def is_quick(given: RawInput) -> bool:
    """Whether decoding takes less time than handing it to a thread would (about 0.1 ms)."""
    match given:
        case File():
            return len(given.data) <= QUICK_BYTES and pixel_count(given.data) <= QUICK_PIXELS
        case ImageInput():
            return False
        case _:
            return True


def _check_kind(given: RawInput, card: Card) -> None:
    image = isinstance(given, ImageInput | PixelsInput) or (isinstance(given, File) and given.kind == "image")
    recording = isinstance(given, EventsInput | RecordingInput) or (
        isinstance(given, File) and given.kind == "recording"
    )
    if (recording and card.input.kind == "image") or (image and card.input.kind == "events"):
        raise _wrong_kind(card)


def _wrong_kind(card: Card) -> WrongInputKind:
    if card.input.kind == "image":
        return WrongInputKind(f"model {card.name!r} takes images, and this is an event recording")
    return WrongInputKind(f"model {card.name!r} takes event recordings, and this is an image")


def _decode_file(file: File, card: Card, options: DecodeOptions) -> Decoded:
    """Read a file as what the model takes; where that fails, see whether it is the other kind."""
    if card.input.kind == "image":
        if not looks_like_image(file.data) and _looks_like_recording(file):
            raise _wrong_kind(card)
        return _image(read_image(file.data, card.input, max_pixels=options.max_image_pixels), None, options)
    try:
        events = read_events(
            file.data, options.format, filename=file.name, camera=options.camera, max_events=options.max_events
        )
    except InvalidEvents:
        if looks_like_image(file.data):
            raise _wrong_kind(card) from None
        raise
    return _recording(events, card)


def _looks_like_recording(file: File) -> bool:
    try:
        found = format_of(file.data)
    except InvalidEvents:  # a recording of a version that is not read
        return True
    return found is not None or PurePath(file.name or "").suffix.lower() in NAMES_WITHOUT_HEADER


def _from_base64(text: str, failure: type[InvalidImage] | type[InvalidEvents]) -> bytes:
    refusal = failure("not base64: the standard alphabet with padding, without spaces or a 'data:' prefix")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise refusal from error
    if base64.b64encode(data) != text.encode():  # more padding than there should be passes the decoder
        raise refusal
    return data


def _image(fitted: Fitted, seed: int | None, options: DecodeOptions) -> Decoded:
    done: ImagePreprocessing = {}
    if fitted.resized_from is not None:
        done["resized_from"] = fitted.resized_from
    if fitted.converted_from is not None:
        done["converted_from"] = fitted.converted_from
    return Decoded(ImageSample(fitted.pixels, options.seed if seed is None else seed), done or None)


def _recording(events: NDArray[np.int64], card: Card) -> Decoded:
    events = check_events(events, card.input.width, card.input.height, card.input.channels)
    times = events[:, 0] - events[0, 0]
    used = len(events)
    if isinstance(card.encoder, EventEncoder) and card.encoder.step_us is not None:
        used = int(np.count_nonzero(times // card.encoder.step_us < card.encoder.timesteps))
    done: EventsPreprocessing = {"events": len(events), "events_used": used, "span_us": int(times[-1])}
    return Decoded(EventSample(events), done)
