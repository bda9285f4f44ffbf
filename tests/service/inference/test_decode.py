import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.card import Card, read_card
from contract.errors import ImageTooLarge, InvalidEvents, InvalidImage, ServiceError, TooManyEvents, WrongInputKind
from contract.image_fitting import ImageFitting
from service.engine.interface import EventSample, ImageSample
from service.inference.bodies import EventColumns, EventsInput, ImageInput, PixelsInput, RecordingInput
from service.inference.decode import Decoded, File, RawInput, decode, decode_all
from tests.service.models_in_memory import decode_options_for as options_for

PLANE = np.arange(64, dtype=np.uint8).reshape(8, 8)
CSV = b"t,x,y,p\n100,1,2,1\n1100,3,4,0\n5099,5,6,1\n5100,7,7,1\n"
NMNIST = bytes([1, 2, 0x80, 0, 100]) + bytes([3, 4, 0, 1, 0])


def png(plane: Any = PLANE) -> bytes:
    buffer = BytesIO()
    Image.fromarray(plane).save(buffer, "PNG")
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="session")
def image_card(tiny_store_root: Path) -> Card:
    return read_card(tiny_store_root / "tiny-image" / "1" / "model.pt")


@pytest.fixture(scope="session")
def event_card(tiny_store_root: Path) -> Card:
    return read_card(tiny_store_root / "tiny-events" / "1" / "model.pt")


def pixels_of(decoded: Decoded) -> Any:
    assert isinstance(decoded.sample, ImageSample)
    return decoded.sample.pixels


def events_of(decoded: Decoded) -> Any:
    assert isinstance(decoded.sample, EventSample)
    return decoded.sample.events


@pytest.mark.parametrize(
    "given",
    [File(png()), File(png(), "image"), ImageInput(image=base64_of(png())), PixelsInput(pixels=PLANE.tolist())],
)
def test_one_image_is_the_same_sample_however_it_comes(given: RawInput, image_card: Card) -> None:
    decoded = decode(given, options_for(image_card))
    np.testing.assert_array_equal(pixels_of(decoded), PLANE[None])
    assert decoded.preprocessing is None


def test_only_what_was_done_to_an_image_is_told(image_card: Card) -> None:
    resized = decode(File(png(PLANE[:4])), options_for(image_card)).preprocessing
    converted = decode(File(png(np.stack([PLANE] * 3, axis=-1))), options_for(image_card)).preprocessing
    assert resized == {"resized_from": (4, 8)}
    assert converted == {"converted_from": "RGB"}


def test_an_inputs_own_seed_comes_before_the_requests(image_card: Card) -> None:
    options = options_for(image_card, seed=7)
    own = decode(PixelsInput(pixels=PLANE.tolist(), seed=0), options).sample
    none = decode(PixelsInput(pixels=PLANE.tolist()), options).sample
    assert isinstance(own, ImageSample)
    assert isinstance(none, ImageSample)
    assert (own.seed, none.seed) == (0, 7)


@pytest.mark.parametrize(
    "given",
    [
        File(CSV),
        File(CSV, name="a.csv"),
        RecordingInput(recording=base64_of(CSV), format="csv"),
        EventsInput(events=EventColumns(t=[100, 1100, 5099, 5100], x=[1, 3, 5, 7], y=[2, 4, 6, 7], p=[1, 0, 1, 1])),
    ],
)
def test_one_recording_is_the_same_sample_however_it_comes(given: RawInput, event_card: Card) -> None:
    decoded = decode(given, options_for(event_card))
    expected = [[100, 1, 2, 1], [1100, 3, 4, 0], [5099, 5, 6, 1], [5100, 7, 7, 1]]
    np.testing.assert_array_equal(events_of(decoded), expected)
    # Five steps of 1000 µs from the first event on: the last one is the first outside.
    assert decoded.preprocessing == {"events": 4, "events_used": 3, "span_us": 5000}


def test_bins_of_the_recordings_own_length_use_every_event(event_card: Card) -> None:
    encoder = event_card.encoder.model_copy(update={"binning": "span", "step_us": None})
    decoded = decode(File(CSV), options_for(event_card.model_copy(update={"encoder": encoder})))
    assert decoded.preprocessing == {"events": 4, "events_used": 4, "span_us": 5000}


def test_a_file_without_a_header_is_known_by_its_name_or_by_the_format_asked_for(event_card: Card) -> None:
    named = decode(File(NMNIST, name="five.bin"), options_for(event_card))
    asked = decode(File(NMNIST), options_for(event_card, format="nmnist"))
    np.testing.assert_array_equal(events_of(named), [[100, 1, 2, 1], [256, 3, 4, 0]])
    np.testing.assert_array_equal(events_of(asked), events_of(named))
    with pytest.raises(InvalidEvents):
        decode(File(NMNIST), options_for(event_card))


def test_an_event_outside_the_sensor_is_named(event_card: Card) -> None:
    with pytest.raises(InvalidEvents, match="event 1 "):
        decode(File(b"t,x,y,p\n1,7,7,1\n2,8,7,1\n3,9,9,1\n"), options_for(event_card))


IMAGES: list[RawInput] = [File(png()), File(png(), "image"), ImageInput(image=""), PixelsInput(pixels=[])]
RECORDINGS: list[RawInput] = [
    File(CSV),
    File(NMNIST, name="a.bin"),
    File(b"#!AER-DAT9.9\r\n"),
    RecordingInput(recording=""),
    EventsInput(events=EventColumns(t=0, x=0, y=0, p=0)),
]


@pytest.mark.parametrize("given", IMAGES)
def test_an_image_is_the_wrong_kind_for_an_event_model(given: RawInput, event_card: Card) -> None:
    with pytest.raises(WrongInputKind, match="takes event recordings"):
        decode(given, options_for(event_card))


@pytest.mark.parametrize("given", RECORDINGS)
def test_a_recording_is_the_wrong_kind_for_an_image_model(given: RawInput, image_card: Card) -> None:
    with pytest.raises(WrongInputKind, match="takes images"):
        decode(given, options_for(image_card))


def test_an_event_format_declares_a_recording_and_a_media_type_an_image(image_card: Card) -> None:
    options = options_for(image_card, format="nmnist")
    for file in (File(NMNIST), File(png())):
        with pytest.raises(WrongInputKind, match="takes images"):
            decode(file, options)
    np.testing.assert_array_equal(pixels_of(decode(File(png(), "image"), options)), PLANE[None])


def test_a_model_is_named_as_the_store_names_it(image_card: Card, event_card: Card) -> None:
    for given, card in ((IMAGES[0], event_card), (RECORDINGS[0], image_card)):
        with pytest.raises(WrongInputKind, match=r"^model 'copied' takes"):
            decode(given, options_for(card, model="copied"))


@pytest.mark.parametrize("text", ["é", "QUJ", "Q U J D", "QUJD\n", "data:image/png,QUJD", "data:;base64,Q", "QU-_"])
def test_only_strict_base64_is_taken(text: str, image_card: Card, event_card: Card) -> None:
    with pytest.raises(InvalidImage, match="base64"):
        decode(ImageInput(image=text), options_for(image_card))
    with pytest.raises(InvalidEvents, match="base64"):
        decode(RecordingInput(recording=text), options_for(event_card))


@pytest.mark.parametrize(
    "columns",
    [
        {"t": [2, 1], "x": [0, 0], "y": [0, 0], "p": [0, 0]},
        {"t": [-1], "x": [0], "y": [0], "p": [0]},
        {"t": [2**62], "x": [0], "y": [0], "p": [0]},
        {"t": [0], "x": [0.0], "y": [0], "p": [0]},
        {"t": [0], "x": [0], "y": [0], "p": [True]},
        {"t": [0], "x": [0], "y": [0], "p": [2]},
        {"t": [0, 1], "x": [0], "y": [0], "p": [0]},
        {"t": [], "x": [], "y": [], "p": []},
        {"t": "0", "x": [0], "y": [0], "p": [0]},
    ],
)
def test_lists_that_are_no_events_are_refused(columns: dict[str, Any], event_card: Card) -> None:
    with pytest.raises(InvalidEvents):
        decode(EventsInput(events=EventColumns(**columns)), options_for(event_card))


def test_the_limits_hold_for_every_form(image_card: Card, event_card: Card) -> None:
    limits = {"max_image_pixels": 63, "max_events": 3}
    for image in (File(png()), ImageInput(image=base64_of(png())), PixelsInput(pixels=PLANE.tolist())):
        with pytest.raises(ImageTooLarge):
            decode(image, options_for(image_card, **limits))
    lists = EventColumns(t=[0] * 4, x=[0] * 4, y=[0] * 4, p=[0] * 4)
    for recording in (File(CSV), RecordingInput(recording=base64_of(CSV)), EventsInput(events=lists)):
        with pytest.raises(TooManyEvents):
            decode(recording, options_for(event_card, **limits))


def test_the_first_bad_input_is_named(image_card: Card) -> None:
    good = PixelsInput(pixels=PLANE.tolist())
    with pytest.raises(ServiceError) as refused:
        decode_all([good, good, PixelsInput(pixels=[[300]]), File(b"")], options_for(image_card))
    assert refused.value.param == "inputs[2]"
    assert isinstance(refused.value, InvalidImage)
    assert len(decode_all([good, good], options_for(image_card))) == 2


def test_a_data_url_is_taken_for_its_base64(image_card: Card, event_card: Card) -> None:
    url = f"data:image/png;base64,{base64_of(png())}"
    np.testing.assert_array_equal(pixels_of(decode(ImageInput(image=url), options_for(image_card))), PLANE[None])
    url = f"data:application/octet-stream;base64,{base64_of(CSV)}"
    assert len(events_of(decode(RecordingInput(recording=url), options_for(event_card)))) == 4


def test_what_was_done_to_a_picture_is_told(image_card: Card) -> None:
    white = np.full((8, 16), 255, np.uint8)
    white[2:6, 7:9] = 0
    fitting = ImageFitting(invert="auto", fit="pad")
    told = decode(File(png(white)), options_for(image_card, image_fitting=fitting)).preprocessing
    assert told == {"resized_from": (8, 16), "inverted": True, "padded_to": (16, 16)}
    plain = decode(File(png()), options_for(image_card, image_fitting=ImageFitting(invert="false"))).preprocessing
    assert plain == {"inverted": False}
