"""The JSON bodies of requests and answers, and so the schemas of `openapi.json`."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Discriminator, Field, NonNegativeInt, PositiveInt, Tag, WithJsonSchema
from typing_extensions import TypedDict  # pydantic takes the standard library's from Python 3.12 on

from service.parsing import Body

Detail = Literal["summary", "layers", "timesteps"]
Seed = Annotated[int, Field(ge=0, lt=2**63)]

_BYTE = {"type": "integer", "minimum": 0, "maximum": 255}
_ROWS = {"type": "array", "items": {"type": "array", "items": _BYTE}}
_PIXELS = {"anyOf": [_ROWS, {"type": "array", "items": _ROWS}], "description": "`[H][W]` or `[C][H][W]`, 0 to 255."}
_TIMES = {"type": "array", "items": {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**62}}
_PLACES = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_POLARITIES = {"type": "array", "items": {"type": "integer", "enum": [0, 1]}}


class ImageInput(Body):
    """An image file."""

    image: str = Field(description="The file (PNG, JPEG, BMP, WebP, TIFF or GIF) in base64.")
    seed: Seed | None = None


class PixelsInput(Body):
    """An image as lists of pixels, which are checked where they are read."""

    pixels: Annotated[Any, WithJsonSchema(_PIXELS)]
    seed: Seed | None = None


class EventColumns(Body):
    """Events as columns of one length, in the order of their times, which are checked where they are read."""

    t: Annotated[Any, WithJsonSchema(_TIMES | {"description": "Times in µs, never falling."})]
    x: Annotated[Any, WithJsonSchema(_PLACES | {"description": "Columns, from the left."})]
    y: Annotated[Any, WithJsonSchema(_PLACES | {"description": "Rows, from the top."})]
    p: Annotated[Any, WithJsonSchema(_POLARITIES | {"description": "Polarity: 0 darker, 1 brighter."})]


class EventsInput(Body):
    """A recording as lists of events."""

    events: EventColumns
    seed: Seed | None = None


class RecordingInput(Body):
    """An event recording's file."""

    recording: str = Field(description="The file in base64.")
    format: str | None = Field(None, description="Its format; by default what the content says.")
    camera: str | None = Field(None, description="The camera, which AEDAT 2 needs.")
    seed: Seed | None = None


_KINDS = ("image", "pixels", "events", "recording")


def _kind_of_input(value: Any) -> str | None:
    found = [kind for kind in _KINDS if kind in value] if isinstance(value, dict) else []
    return found[0] if len(found) == 1 else None


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
    """The JSON form of a prediction request."""

    inputs: list[Input] = Field(min_length=1)


# The answer to a prediction is built for every input. Typed dictionaries are what the code makes of its own numbers:
# they need no check, and become JSON in less than half of the time that models take.


class ClassScore(TypedDict):
    """A class and its score: the mean firing rate of its voting neurons over all time steps, from 0 to 1."""

    class_id: NonNegativeInt
    label: str
    score: Annotated[float, Field(ge=0, le=1)]


class ImagePreprocessing(TypedDict, total=False):
    """What was done to an image; only the names that apply are there."""

    resized_from: Annotated[tuple[int, int], Field(description="Given height and width.")]
    converted_from: Annotated[str, Field(description="Given colour mode, such as `RGB`, `RGBA`, `P`, `I;16`.")]


class EventsPreprocessing(TypedDict):
    """What a recording holds, and how much of it falls into the model's time steps."""

    events: NonNegativeInt
    events_used: NonNegativeInt
    span_us: NonNegativeInt


class LayerSpikes(TypedDict):
    """Spikes of one layer; its firing rate is spikes per neuron and time step."""

    name: str
    spikes: NonNegativeInt
    firing_rate: float


class Spikes(TypedDict):
    """Spikes of one inference: `total` is the network's own, without `input`, the non-zero values it was fed."""

    total: NonNegativeInt
    input: NonNegativeInt
    per_neuron_per_step: float
    layers: NotRequired[Annotated[list[LayerSpikes], Field(description="With detail=layers.")]]
    timesteps: NotRequired[
        Annotated[list[NonNegativeInt], Field(description="With detail=timesteps: the total of each step.")]
    ]


class LayerEnergy(TypedDict):
    """Operations of one synaptic layer and their estimated energy."""

    name: str
    accumulates: NonNegativeInt
    multiply_accumulates: NonNegativeInt
    estimate_nj: float


class Energy(TypedDict):
    """Counted operations and the energy that a named profile gives them: an estimate of the arithmetic alone.

    `ann_equivalent_nj` is the same structure as a conventional network, `ratio` the first over the second.
    `measured_mj` is the input's share of the energy that the hardware reported for its batch, null where none did.
    """

    profile: str
    estimate_nj: float
    ann_equivalent_nj: float
    ratio: float | None
    accumulates: NonNegativeInt
    multiply_accumulates: NonNegativeInt
    layers: list[LayerEnergy]
    measured_mj: float | None


class TimeStep(TypedDict):
    """The votes of one time step alone: the leading class, its score, and every class's score."""

    step: NonNegativeInt
    class_id: NonNegativeInt
    score: float
    scores: list[float]


class Prediction(TypedDict):
    """What the network says of one input."""

    index: NonNegativeInt
    class_id: NonNegativeInt
    label: str
    score: float
    top_k: list[ClassScore]
    preprocessing: ImagePreprocessing | EventsPreprocessing | None
    spikes: Spikes
    energy: Energy
    timesteps: NotRequired[Annotated[list[TimeStep], Field(description="With detail=timesteps.")]]


class Timing(TypedDict):
    """Where the time went: waiting for the device, on the device, and altogether; and the batch that was run."""

    queue_ms: float
    compute_ms: float
    total_ms: float
    batch_size: PositiveInt


class PredictAnswer(TypedDict):
    """The answer to a prediction request, one prediction for each input in the same order."""

    id: str
    model: str
    version: PositiveInt
    predictions: list[Prediction]
    timing: Timing
