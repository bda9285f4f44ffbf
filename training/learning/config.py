"""The typed configuration of a training run, and the presets: small TOML files of its fields."""

import tomllib
from importlib import resources
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from contract.card import (
    EventEncoder,
    ImageEncoder,
    InputSpec,
    Mode,
    Neuron,
    Norm,
    Surrogate,
    SurrogateScale,
    ThresholdScope,
)
from contract.names import ModelName
from contract.structure import parse_structure
from training.errors import ConfigError

IMAGE_FIELDS = ("coding", "image_shape")
EVENT_FIELDS = ("binning", "step_us", "bin_value", "event_drop", "downsample", "storage", "shuffled_bins")


class Recipe(BaseModel):
    """The settings of the training loop, for training from scratch and for fine-tuning."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mode: Mode = Field(
        default="stl", description="what learns: weights and thresholds (stl), weights (sl), thresholds (tl)"
    )
    epochs: PositiveInt = Field(default=10, description="passes over the training part")
    batch_size: PositiveInt = Field(default=50, description="samples per step of the optimizer")
    learning_rate: float = Field(default=1e-3, gt=0, le=1e37, description="learning rate of Adam")
    learning_rate_decay: float = Field(
        default=0.93, gt=0, le=1, description="factor on the learning rate after each epoch"
    )
    learning_rate_schedule: Literal["exponential", "cosine"] = Field(
        default="exponential", description="by the factor after each epoch, or along half a cosine to zero"
    )
    loss: Literal["rate", "step"] = Field(
        default="rate", description="squared error of the firing rates over all time steps, or the mean of each step's"
    )
    weight_decay: NonNegativeFloat = Field(default=1e-6, description="weight decay of Adam, for the synaptic weights")
    bias_weight_decay: NonNegativeFloat = Field(default=0.0, description="weight decay of biases and batch norm")
    threshold_weight_decay: NonNegativeFloat = Field(default=0.0, description="weight decay of the thresholds")
    threshold_learning_rate_multiplier: PositiveFloat = Field(
        default=1.0, description="factor on the learning rate for the thresholds"
    )
    threshold_floor: float | None = Field(
        default=None, description="least value of a threshold, to which it is raised after each step"
    )
    operation_penalty: NonNegativeFloat = Field(
        default=0.0, description="factor of the synaptic activity, 0 to 1, in the loss: more saves operations"
    )
    flip: bool = Field(default=False, description="augmentation: mirror half of the samples, left to right")
    shift: NonNegativeInt = Field(
        default=0, description="augmentation: random shifts of up to N pixels, as of random crops after padding by N"
    )
    event_drop: float = Field(default=0.0, ge=0, lt=1, description="augmentation: drop up to this share of events")
    seed: NonNegativeInt = Field(default=0, description="seed of weights, order, dropout and Poisson draws")


class TrainingConfig(Recipe):
    """Everything that decides what a training run computes. The same configuration gives the same weights."""

    name: ModelName = Field(description="name of the model in the store")
    dataset: Literal[
        "digits",
        "mnist",
        "fashion-mnist",
        "cifar10",
        "nmnist",
        "cifar10-dvs",
        "dvs128-gesture",
        "n-caltech101",
        "spoken-digits",
        "folder",
    ] = Field(description="data set to train on")
    image_shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = Field(
        default=None, description="channels, height and width of the images in the data set 'folder', such as 3,32,32"
    )
    train_samples: PositiveInt | None = Field(
        default=None, description="use only N training samples, each class with its share"
    )
    network: str = Field(description="structure, such as 128C5-MP2-FC2048-VOTE10")
    match_parameters: bool = Field(
        default=False, description="widen the network, with mode=sl, until as many parameters learn as with mode=stl"
    )
    norm: Norm = Field(
        default="step", description="batch norm of convolutions: of each time step, of batch and time, or none"
    )
    bias: bool = Field(default=True, description="whether layers without batch norm have a bias")
    threshold_scope: ThresholdScope = Field(default="neuron", description="one threshold per neuron, channel or layer")
    threshold: float = Field(default=1.0, description="initial thresholds")
    threshold_init: Literal["constant", "balanced"] = Field(
        default="constant", description="initial thresholds: as given, or such that each layer fires at initial_rate"
    )
    initial_rate: float = Field(
        default=0.1, gt=0, lt=1, description="share of neurons that spike in a step, with threshold_init=balanced"
    )
    threshold_std: NonNegativeFloat = Field(default=0.0, description="standard deviation of the initial thresholds")
    tau: float = Field(default=0.5, ge=0, le=1, description="decay of the membrane potential per time step")
    surrogate_alpha: float = Field(default=2.0, gt=0, description="steepness of the arctangent surrogate gradient")
    surrogate_scale: SurrogateScale = Field(
        default="absolute", description="surrogate gradient of v - theta, or of v/theta - 1: relative or robust"
    )
    timesteps: PositiveInt = Field(default=4, description="number of time steps, T")
    coding: Literal["poisson", "direct"] = Field(default="poisson", description="coding of images")
    binning: Literal["step", "span"] = Field(
        default="step", description="time bins of events: a fixed step, or equal parts of the recording's span"
    )
    step_us: PositiveInt | None = Field(default=None, description="length of a fixed time bin, in microseconds")
    bin_value: Literal["binary", "count"] = Field(
        default="binary", description="content of a time bin: any event, or their number"
    )
    downsample: PositiveInt = Field(
        default=1, description="divide the coordinates of events by N, so that N x N pixels become one"
    )
    storage: Literal["events", "bins"] = Field(
        default="events", description="what is in memory of event recordings: each event, or their time bins"
    )
    shuffled_bins: bool = Field(
        default=False, description="a control: the time bins of each recording in an order of its own"
    )
    validation_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="share of the training part used to choose the epoch"
    )

    @model_validator(mode="after")
    def _structure_parses(self) -> Self:
        parse_structure(self.network)
        return self

    @model_validator(mode="after")
    def _only_weights_take_the_place_of_thresholds(self) -> Self:
        if self.match_parameters and self.mode != "sl":
            raise ValueError(
                "match_parameters needs mode=sl: weights take the place of the thresholds that do not learn"
            )
        return self

    @model_validator(mode="after")
    def _threshold_is_given_or_found(self) -> Self:
        if self.threshold_init == "balanced" and "threshold" in self.model_fields_set and self.threshold != 1.0:
            raise ValueError("threshold and threshold_init=balanced exclude each other")
        return self

    @model_validator(mode="after")
    def _thresholds_stay_above_zero(self) -> Self:
        floor = self.threshold_floor if self.threshold_floor is not None else 0.0
        if self.surrogate_scale != "absolute" and floor <= 0:
            raise ValueError(
                f"surrogate_scale={self.surrogate_scale} divides by thresholds: set threshold_floor above 0"
            )
        return self

    @property
    def holds_bins(self) -> bool:
        """Whether event recordings are in memory as time bins."""
        return self.storage == "bins" or self.shuffled_bins

    @property
    def neuron(self) -> Neuron:
        """The neuron, as the card describes it."""
        surrogate = Surrogate(alpha=self.surrogate_alpha, scale=self.surrogate_scale)
        return Neuron(tau=self.tau, surrogate=surrogate, threshold_scope=self.threshold_scope)

    def encoder(self, spec: InputSpec) -> ImageEncoder | EventEncoder:
        """The encoder for an input of this kind, as the card describes it.

        `ConfigError` for fields that do not apply to such an input, and for bins without a length.
        """
        foreign = EVENT_FIELDS if spec.kind == "image" else IMAGE_FIELDS
        idle = [name for name in foreign if getattr(self, name) != type(self).model_fields[name].default]
        if idle:
            raise ConfigError(
                f"{', '.join(idle)}: not applicable to a data set of {'images' if spec.kind == 'image' else 'events'}"
            )
        if spec.kind == "image":
            return ImageEncoder(coding=self.coding, timesteps=self.timesteps)
        if self.binning == "step" and self.step_us is None:
            raise ConfigError("step_us: required with binning=step, in microseconds")
        step_us = self.step_us if self.binning == "step" else None
        return EventEncoder(binning=self.binning, step_us=step_us, bin_value=self.bin_value, timesteps=self.timesteps)


def preset_names() -> list[str]:
    """The names of the bundled presets."""
    files = resources.files("training.presets").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_preset(name: str) -> dict[str, Any]:
    """The fields that a preset sets; `ConfigError` for an unknown name."""
    if name not in preset_names():
        raise ConfigError(f"there is no preset {name!r}; there are {', '.join(preset_names())}")
    return tomllib.loads(resources.files("training.presets").joinpath(f"{name}.toml").read_text())
