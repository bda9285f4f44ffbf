"""What a model's inputs looked like in training, and how often it was right: what the service compares inputs with.

`reference.json` lies beside a checkpoint. `python -m training train` writes it; `python -m training reference` writes
it for a version that has none.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from contract.files import replacing

REFERENCE_FILE = "reference.json"

_MAX_BYTES = 4096


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(_Part):
    """The lowest, the median and the highest value over the samples."""

    low: NonNegativeFloat
    median: NonNegativeFloat
    high: NonNegativeFloat

    def __contains__(self, value: float) -> bool:
        """Whether the value is between both, or beyond by at most a quarter of their distance, as rare samples are."""
        margin = (self.high - self.low) / 4
        return self.low - margin <= value <= self.high + margin


class Confidence(_Part):
    """The temperature of the softmax over scores that makes a probability of them.

    It was fitted on every second sample. `calibration_error` is the expected calibration error of the probabilities on
    the others, in 15 bins; `uncalibrated_error` that of the scores themselves.
    """

    temperature: PositiveFloat
    calibration_error: float = Field(ge=0, le=1)
    uncalibrated_error: float = Field(ge=0, le=1)


class Reference(_Part):
    """Statistics over `samples` samples of the part `measured_on`, each run with all time steps and seed 0.

    `bright` is the share of pixels of at least 128, `lit` that of pixels above 0 (images only). `input` is the number
    of non-zero values in the network's input, `first_layer` the spikes of the first layer of neurons.
    """

    measured_on: Literal["validation", "train"]
    samples: PositiveInt
    bright: Interval | None = None
    lit: Interval | None = None
    input: Interval
    first_layer: Interval
    confidence: Confidence


def read_reference(checkpoint: Path) -> Reference | None:
    """The reference beside the file of a checkpoint; None if there is none, or none that can be read."""
    try:
        with checkpoint.with_name(REFERENCE_FILE).open("rb") as file:
            return Reference.model_validate_json(file.read(_MAX_BYTES))
    except (OSError, ValidationError):
        return None


def write_reference(checkpoint: Path, reference: Reference) -> None:
    """Put the reference beside the file of a checkpoint."""
    with replacing(checkpoint.with_name(REFERENCE_FILE)) as file:
        file.write(reference.model_dump_json(indent=2, exclude_none=True).encode() + b"\n")
