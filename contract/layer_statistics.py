"""What learning has made of a layer's thresholds, and what its neurons do: a part of the card."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

Share = Annotated[float, Field(ge=0, le=1)]


class Histogram(BaseModel):
    """Numbers of thresholds between equally spaced `low` and `high`, `before` training and `after` it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    high: float
    before: tuple[NonNegativeInt, ...]
    after: tuple[NonNegativeInt, ...]


class LayerStatistics(BaseModel):
    """The thresholds of one layer of neurons in the inference form, and its neurons on `samples` of the data set.

    `not_positive` is the share of thresholds at or below zero: such a neuron fires without input. `silent` neurons
    never fired, `saturated` ones fired at every step of every sample.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: str
    mean: float
    std: NonNegativeFloat
    minimum: float
    not_positive: Share
    histogram: Histogram
    samples: NonNegativeInt
    silent: NonNegativeInt
    saturated: NonNegativeInt
