"""The model card: a checkpoint's description of itself, and half of the contract between training and service.

Training writes it into the TorchScript archive as `card.json`; the service refuses an archive without a valid one.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from contract.calibration import Calibration
from contract.layer_statistics import LayerStatistics
from contract.names import ModelName
from contract.workload import Workload

FORMAT_VERSION = 1
CARD_FILE = "card.json"
MAX_CARD_BYTES = 1_000_000
_MOST_FAULTS = 100
# Bounds for new labels; their card then always fits into these bytes. Existing cards may have more labels.
MAX_LABELS = 1_000
MAX_LABEL_LENGTH = 100
MAX_INPUT_VALUES = 100_000_000
MAX_PIXEL = 255
MAX_COUNT = 255
"""At which the events in a bin of a model that counts them saturate."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Mode = Literal["stl", "sl", "tl"]
ThresholdScope = Literal["neuron", "channel", "layer"]
SurrogateScale = Literal["absolute", "relative", "robust"]
Norm = Literal["step", "time", "none"]

T = TypeVar("T")
Recorded = Annotated[T | None, Field(exclude_if=lambda value: value is None)]  # written only where it has a value


class CardError(ValueError):
    """The card of a checkpoint cannot be read; the message gives the first of its `faults`, without a path."""

    def __init__(self, *faults: str) -> None:
        super().__init__(faults[0])
        self.faults = faults


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSpec(_Part):
    """The shape of a sample: an image or an event recording of `channels` x `height` x `width`."""

    kind: Literal["image", "events"]
    channels: PositiveInt
    height: PositiveInt
    width: PositiveInt

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(C, H, W)`."""
        return self.channels, self.height, self.width


class ImageEncoder(_Part):
    """How pixels become the network's input: `poisson` spikes, or the `direct` pixel value at every time step."""

    kind: Literal["image"] = "image"
    coding: Literal["poisson", "direct"]
    timesteps: PositiveInt

    @property
    def max_input(self) -> int:
        """The largest value in the network's input, whose values are all whole numbers."""
        return 1 if self.coding == "poisson" else MAX_PIXEL


class EventEncoder(_Part):
    """How events become time bins.

    `step` bins have a fixed length of `step_us`; `span` bins are equal parts of the recording. A `binary` bin holds
    0 or 1 per pixel and polarity, a `count` bin the number of events.
    """

    kind: Literal["events"] = "events"
    binning: Literal["step", "span"]
    step_us: PositiveInt | None = None
    bin_value: Literal["binary", "count"] = "binary"
    timesteps: PositiveInt

    @property
    def max_input(self) -> int:
        """The largest value in the network's input, whose values are all whole numbers."""
        return 1 if self.bin_value == "binary" else MAX_COUNT

    @model_validator(mode="after")
    def _step_has_a_length(self) -> Self:
        if (self.binning == "step") != (self.step_us is not None):
            raise ValueError("step_us is required with binning 'step', and not allowed otherwise")
        return self


Encoder = Annotated[ImageEncoder | EventEncoder, Field(discriminator="kind")]


class Surrogate(_Part):
    """The derivative that replaces that of the step function: `alpha/2 / (1 + (pi/2 * alpha * x)^2)`.

    `scale` says what `x` is and how the derivative is scaled; see `training.snn.surrogate`.
    """

    kind: Literal["arctan"] = "arctan"
    alpha: float = Field(default=2.0, gt=0)
    scale: SurrogateScale = Field(default="absolute", exclude_if=lambda scale: scale == "absolute")


class Neuron(_Part):
    """The leaky integrate-and-fire neuron: `v = tau * v * (1 - s) + I`, `s = v >= theta`."""

    model: Literal["lif"] = "lif"
    tau: Fraction
    reset: Literal["zero"] = "zero"
    surrogate: Surrogate = Surrogate()
    threshold_scope: ThresholdScope


class Layer(_Part):
    """One layer of the inference form.

    `synops_index` is the layer's column in the network's `synops`, `spikes_index` in its `spikes`; None if the layer
    has no synapses or no neurons (pooling). `operation` is the kind of its synaptic operations: an accumulate (`ac`,
    the input is spikes) or a multiply-accumulate (`mac`). `exact` says whether the layer's input currents have the same
    bits for every batch, thread count and device.
    """

    name: str
    kind: Literal["conv", "linear", "max_pool", "avg_pool"]
    out_shape: tuple[int, ...]
    neurons: NonNegativeInt
    synapses: NonNegativeInt
    dense_macs: NonNegativeInt
    operation: Literal["ac", "mac"] | None
    synops_index: NonNegativeInt | None
    spikes_index: NonNegativeInt | None
    exact: bool


class Learning(_Part):
    """How the network was trained.

    `lr` is the learning rate of the optimizer, a fine-tuning's multiplier included. The fields from `threshold` to
    `shuffled_bins` are the run's configuration; those from `learning_rate_multiplier` on describe a fine-tuning, and
    `measured_on` says which part the card's metrics come from (absent: the test part). Fields that this release does
    not know are kept.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    mode: Mode
    dataset: str
    attribution: str | None = None
    samples: PositiveInt
    epochs: NonNegativeInt
    best_epoch: NonNegativeInt | None = None
    optimizer: str
    lr: float
    seed: int

    threshold: Recorded[float] = None
    threshold_std: Recorded[NonNegativeFloat] = None
    initial_thresholds: Recorded[dict[str, float]] = None
    batch_size: Recorded[PositiveInt] = None
    learning_rate_decay: Recorded[float] = None
    learning_rate_schedule: Recorded[str] = None
    loss: Recorded[str] = None
    operation_penalty: Recorded[NonNegativeFloat] = None
    weight_decay: Recorded[float] = None
    bias_weight_decay: Recorded[float] = None
    threshold_weight_decay: Recorded[float] = None
    threshold_learning_rate_multiplier: Recorded[PositiveFloat] = None
    threshold_floor: Recorded[float] = None
    validation_fraction: Recorded[Fraction] = None
    flip: Recorded[bool] = None
    shift: Recorded[NonNegativeInt] = None
    event_drop: Recorded[Fraction] = None
    train_samples: Recorded[PositiveInt] = None
    downsample: Recorded[PositiveInt] = None
    storage: Recorded[str] = None
    shuffled_bins: Recorded[bool] = None

    learning_rate_multiplier: Recorded[PositiveFloat] = None
    freeze: Recorded[tuple[str, ...]] = None
    new_labels: Recorded[bool] = None
    job: Recorded[str] = None
    dataset_sha256: Recorded[str] = None
    validation_sha256: Recorded[str] = None
    measured_on: Recorded[str] = None
    baseline_accuracy: Recorded[Fraction] = None


class Metrics(_Part):
    """Measurements of the inference form: accuracy on the test part, and means over its samples.

    `firing_rate` is the number of spikes per neuron and time step of each spiking layer, by name. `synops_per_sample`
    is the sum over all layers; `accumulates` and `multiply_accumulates` are its two kinds.
    """

    accuracy: Fraction
    samples: PositiveInt
    validation_accuracy: Fraction | None = None
    validation_samples: NonNegativeInt = 0
    spikes_per_sample: float
    firing_rate: dict[str, Fraction]
    synops_per_sample: float
    accumulates_per_sample: float
    multiply_accumulates_per_sample: float
    energy_nj_per_sample: float
    energy_profile: str


class Provenance(_Part):
    """The software that made the checkpoint."""

    project_version: str
    torch_version: str
    git_commit: str | None


class Card(_Part):
    """The whole card. `voters` is the number of voting neurons of each class.

    `norm` is the batch norm of the convolutions in training: over the batch at each `step`, over batch and `time`, or
    `none`. `bias` says whether layers without batch norm have one. `statistics` are those of the layers of neurons,
    `workload` the operations and the cost at rest; older cards have neither. `calibration` says when `exit=confident`
    may end an inference; a card without one does not allow it.
    """

    format_version: int = FORMAT_VERSION
    name: ModelName
    created_at: datetime
    task: Literal["classification"] = "classification"
    labels: tuple[str, ...] = Field(min_length=2)
    input: InputSpec
    encoder: Encoder
    neuron: Neuron
    network: str
    norm: Norm = Field(default="step", exclude_if=lambda norm: norm == "step")
    bias: bool = Field(default=True, exclude_if=lambda bias: bias)
    voters: PositiveInt
    layers: tuple[Layer, ...] = Field(min_length=1)
    statistics: Recorded[tuple[LayerStatistics, ...]] = None
    workload: Recorded[Workload] = None
    calibration: Recorded[Calibration] = None
    learning: Learning
    metrics: Metrics
    parent: str | None = None
    provenance: Provenance

    @field_validator("format_version")
    @classmethod
    def _known_format(cls, version: int) -> int:
        if version != FORMAT_VERSION:
            raise ValueError(f"format_version {version} is not supported; this release reads {FORMAT_VERSION}")
        return version

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if faults := list(self._disagreements()):
            raise ValueError("; ".join(faults))
        return self

    def _disagreements(self) -> Iterator[str]:
        """What is valid alone and not together."""
        if self.encoder.kind != self.input.kind:
            yield f"an encoder for {self.encoder.kind} does not fit an input of kind {self.input.kind}"
        if self.timesteps * prod(self.input.shape) > MAX_INPUT_VALUES:
            yield f"timesteps x channels x height x width must be at most {MAX_INPUT_VALUES}"
        for column in ("synops_index", "spikes_index"):
            found = [index for layer in self.layers if (index := getattr(layer, column)) is not None]
            if sorted(found) != list(range(len(found))):
                yield f"{column} must number the layers 0, 1, 2, ... without gaps or repeats; found {found}"
        if self.calibration is not None:
            rules = self.calibration.gap, self.calibration.conformal
            if any(len(rule.leads) != self.timesteps for rule in rules):
                yield "calibration must have one lead for each time step"
        if len(set(self.labels)) != len(self.labels):
            yield "labels must be unique"

    @property
    def timesteps(self) -> int:
        """T, the number of time steps of one inference."""
        return self.encoder.timesteps

    @cached_property
    def longest_label(self) -> int:
        """Bytes of the longest label as JSON."""
        return max(len(json.dumps(label, ensure_ascii=False).encode()) for label in self.labels)

    @property
    def neurons(self) -> int:
        """The number of spiking neurons of the network."""
        return sum(layer.neurons for layer in self.layers)

    @property
    def spiking_layers(self) -> list[Layer]:
        """The layers with neurons, in the order of the columns of `spikes`."""
        return sorted((x for x in self.layers if x.spikes_index is not None), key=lambda x: x.spikes_index or 0)

    @property
    def synaptic_layers(self) -> list[Layer]:
        """The layers with synapses, in the order of the columns of `synops`."""
        return sorted((x for x in self.layers if x.synops_index is not None), key=lambda x: x.synops_index or 0)


def read_card(checkpoint: Path) -> Card:
    """The card inside a checkpoint, read without loading the network; raises `CardError`."""
    if not checkpoint.is_file():  # reading from a pipe would never end
        raise CardError("there is no checkpoint file")
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            return card_of(archive)
    except CardError:
        raise
    except Exception as error:  # zipfile fails on broken archives in many ways
        raise CardError("the checkpoint is not a complete TorchScript archive") from error


def card_of(archive: zipfile.ZipFile) -> Card:
    """The card inside an open archive; raises `CardError`."""
    members = [info for info in archive.infolist() if info.filename.split("/")[1:] == ["extra", CARD_FILE]]
    if len(members) != 1:
        raise CardError(f"the checkpoint does not hold exactly one {CARD_FILE}")
    if members[0].file_size > MAX_CARD_BYTES:
        raise CardError(f"{CARD_FILE} has {members[0].file_size} bytes; the limit is {MAX_CARD_BYTES}")
    try:
        text = archive.read(members[0])
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise CardError(f"{CARD_FILE} is damaged") from error
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        raise CardError(*map(_fault, error.errors(include_url=False, include_input=False)[:_MOST_FAULTS])) from error


def _fault(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    return f"{CARD_FILE} is not valid: {where + ': ' if where else ''}{message}"
