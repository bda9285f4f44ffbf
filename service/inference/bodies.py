"""JSON bodies of a prediction: its inputs and its response."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Discriminator, Field, NonNegativeInt, PositiveInt, Tag, WithJsonSchema
from typing_extensions import TypedDict  # pydantic accepts the standard library's from Python 3.12 on

from contract.decision import DecisionRule
from contract.energy import Energy
from service.parsing import Body

Detail = Literal["summary", "layers", "timesteps", "raster"]
Exit = Literal["none", "lossless", "confident"]
Seed = Annotated[int, Field(ge=0, lt=2**63)]

_BYTE = {"type": "integer", "minimum": 0, "maximum": 255}
_LEVEL = {"anyOf": [_BYTE, {"type": "number", "minimum": 0, "maximum": 1}]}
_ROWS = {"type": "array", "items": {"type": "array", "items": _LEVEL}}
_PIXELS = {
    "anyOf": [_ROWS, {"type": "array", "items": _ROWS}],
    "description": "`[H][W]` or `[C][H][W]`: integers from 0 to 255, or, if any is a float, numbers from 0 to 1.",
}
_TIMES = {"type": "array", "items": {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**62}}
_PLACES = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_POLARITIES = {"type": "array", "items": {"type": "integer", "enum": [0, 1]}}


class ImageInput(Body):
    """An image file."""

    image: str = Field(description="The file (PNG, JPEG, BMP, WebP, TIFF, GIF or AVIF) in base64, or a `data:` URL.")
    seed: Seed | None = None


class PixelsInput(Body):
    """An image as lists of pixels, which are validated when the image is decoded."""

    pixels: Annotated[Any, WithJsonSchema(_PIXELS)]
    seed: Seed | None = None


class EventColumns(Body):
    """Events as columns of equal length, validated when the recording is decoded."""

    t: Annotated[Any, WithJsonSchema(_TIMES | {"description": "Times in µs, in ascending order."})]
    x: Annotated[Any, WithJsonSchema(_PLACES | {"description": "Column of each event, from the left."})]
    y: Annotated[Any, WithJsonSchema(_PLACES | {"description": "Row of each event, from the top."})]
    p: Annotated[Any, WithJsonSchema(_POLARITIES | {"description": "Polarity: 0 darker, 1 brighter."})]


class EventsInput(Body):
    """A recording as lists of events."""

    events: EventColumns
    seed: Seed | None = None


class RecordingInput(Body):
    """An event recording as a file."""

    recording: str = Field(description="The file in base64, or a `data:` URL.")
    format: str | None = Field(None, description="Its format; by default detected from the content.")
    camera: str | None = Field(None, description="The camera; required for AEDAT 2.")
    seed: Seed | None = None


_KINDS = ("image", "pixels", "events", "recording")


def _kind_of_input(value: Any) -> str | None:
    kinds = [kind for kind in _KINDS if kind in value] if isinstance(value, dict) else []
    return kinds[0] if len(kinds) == 1 else None


Input = Annotated[
    Annotated[ImageInput, Tag("image")]
    | Annotated[PixelsInput, Tag("pixels")]
    | Annotated[EventsInput, Tag("events")]
    | Annotated[RecordingInput, Tag("recording")],
    Discriminator(
        _kind_of_input,
        custom_error_type="one_kind",
        custom_error_message="an input is an object with exactly one of 'image', 'pixels', 'events' and 'recording'",
    ),
]


class PredictBody(Body):
    """A prediction request as JSON."""

    inputs: list[Input] = Field(min_length=1)


# Typed dictionaries, because a prediction is built for every input: they need no validation and become JSON in less
# than half the time of models.


class ClassScore(TypedDict):
    """A class and its score: the mean firing rate of its voting neurons over the time steps used, 0 to 1.

    The scores of a joint decision are those of its rule.
    """

    class_id: NonNegativeInt
    label: str
    score: Annotated[float, Field(ge=0, le=1)]


class ImagePreprocessing(TypedDict, total=False):
    """Conversions applied to an image; only those that apply are present."""

    resized_from: Annotated[tuple[int, int], Field(description="Original height and width.")]
    converted_from: Annotated[str, Field(description="Original colour mode, such as `RGB`, `RGBA`, `P`, `I;16`.")]
    inverted: Annotated[bool, Field(description="With `invert`: whether dark and light were exchanged.")]
    background: Annotated[int, Field(description="With `background=auto`: the mean level that was set to black.")]
    window: Annotated[
        tuple[int, int, int, int],
        Field(description="With `fit=crop`: the part that was kept, x, y, w, h; it may reach beyond the image."),
    ]
    padded_to: Annotated[tuple[int, int], Field(description="With `fit=pad`: height and width with the borders.")]


class EventsPreprocessing(TypedDict):
    """The events of a recording, how many of them fall into the model's time steps, and what was done to them."""

    events: NonNegativeInt
    events_used: NonNegativeInt
    span_us: NonNegativeInt
    events_in_window: NotRequired[NonNegativeInt]
    window: NotRequired[
        Annotated[tuple[int, int, int, int], Field(description="The part of the sensor that was kept: x, y, w, h.")]
    ]
    resized_from: NotRequired[
        Annotated[tuple[int, int], Field(description="Height and width of the picture that was scaled.")]
    ]
    flipped_y: NotRequired[bool]
    sorted: NotRequired[bool]


class LayerSpikes(TypedDict):
    """Spikes of one layer; the firing rate is spikes per neuron and time step."""

    name: str
    spikes: NonNegativeInt
    firing_rate: float


class Spikes(TypedDict):
    """Spikes of one inference: `total` in the network; `input`, the number of non-zero input values, is separate."""

    total: NonNegativeInt
    input: NonNegativeInt
    per_neuron_per_step: float
    layers: NotRequired[Annotated[list[LayerSpikes], Field(description="With detail=layers and raster.")]]
    timesteps: NotRequired[
        Annotated[list[NonNegativeInt], Field(description="With detail=timesteps and raster: the total of each step.")]
    ]


class TimeStep(TypedDict):
    """The votes of one time step alone: the best class, its score, and the score of every class."""

    step: NonNegativeInt
    class_id: NonNegativeInt
    score: float
    scores: list[float]


class LayerRaster(TypedDict):
    """The neurons of one layer that fired at each time step, by their numbers in ascending order.

    The neuron at channel c, row y and column x of a convolution's `shape` `[C, H, W]` has the number
    `(c * H + y) * W + x`.
    """

    layer: str
    neurons: PositiveInt
    shape: list[PositiveInt]
    steps: list[list[NonNegativeInt]]


class NetworkInput(TypedDict):
    """What the network was given: after decoding and fitting, before Poisson coding.

    Each of the `frames` has the values of `shape` `[C, H, W]` in a row: an image is one frame of pixels from 0 to 255,
    a recording one frame for each time step, of events in each pixel.
    """

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    frames: list[list[NonNegativeInt]]


class Decision(TypedDict):
    """The decision of one draw alone, or of one member of a group on it."""

    draw: NonNegativeInt
    member: NotRequired[Annotated[str, Field(description="Of a group: `name/version`.")]]
    class_id: NonNegativeInt
    label: str
    score: float


class Joint(TypedDict):
    """How a joint decision came about.

    `agreement` is the share of the single decisions that are for the joint class. The prediction's scores are those of
    the joint decision, and its spikes, operations and energy are the sums of all single ones.
    """

    decision: DecisionRule
    draws: PositiveInt
    agreement: Annotated[float, Field(ge=0, le=1)]
    decisions: list[Decision]


class InputWarning(TypedDict):
    """What is unlike the training data in an input: a stable code, and a sentence."""

    code: str
    message: str


class Prediction(TypedDict):
    """The prediction for one input."""

    index: NonNegativeInt
    class_id: NonNegativeInt
    label: str
    score: float
    probability: NotRequired[
        Annotated[float, Field(description="That the class is right, for inputs like the training data.")]
    ]
    top_k: list[ClassScore]
    warnings: NotRequired[
        Annotated[list[InputWarning], Field(description="How the input differs from the training data.")]
    ]
    preprocessing: ImagePreprocessing | EventsPreprocessing | None
    steps_used: NotRequired[
        Annotated[PositiveInt, Field(description="With `exit`: the time steps that were run and are counted.")]
    ]
    joint: NotRequired[Annotated[Joint, Field(description="With `draws`, and of a group.")]]
    spikes: Spikes
    energy: Energy
    timesteps: NotRequired[Annotated[list[TimeStep], Field(description="With detail=timesteps and raster.")]]
    raster: NotRequired[Annotated[list[LayerRaster], Field(description="With detail=raster, in the layers' order.")]]
    input: NotRequired[Annotated[NetworkInput, Field(description="With detail=raster.")]]


class Timing(TypedDict):
    """Time spent waiting for the device, on the device, and overall; and the number of inputs that ran together."""

    queue_ms: float
    compute_ms: float
    total_ms: float
    batch_size: PositiveInt


class PredictAnswer(TypedDict):
    """The response to a prediction request, with one prediction for each input, in the same order."""

    id: str
    model: str
    version: PositiveInt
    predictions: list[Prediction]
    timing: Timing
