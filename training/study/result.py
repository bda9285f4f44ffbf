"""What a study keeps of each run, and `results.json`, in which all of it is put together."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from contract.card import Layer, Provenance
from contract.layer_statistics import LayerStatistics
from training.study.plan import Point, Study

FORMAT_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)  # a newer release may have recorded more


class Measurement(_Part):
    """Means per sample of one part of the data set, measured on the exported form.

    `correct` has a bit for each sample and `votes` the spikes of each class's voting neurons, `[samples, classes]`; see
    `packing`. `spikes_by_step` and `operations_by_step` are `[T, layers]`, in the order of the run's spiking layers.
    """

    samples: int
    accuracy: float
    correct: str
    votes: str
    spikes: float
    spikes_by_step: list[list[float]]
    operations: float
    operations_by_step: list[list[float]]
    accumulates: float
    multiply_accumulates: float
    energy_nj: float
    energy_profile: str


class InitialThresholds(_Part):
    """Thresholds of a layer before training."""

    layer: str
    mean: float
    std: float
    minimum: float


class Raster(_Part):
    """The spikes of one test sample: for each layer, a bit for each time step and neuron, `[T, neurons]`."""

    sample: int
    label: int
    layers: dict[str, str]


class NoiseResult(_Part):
    """Results under one kind, level and draw of noise; level 0 of kind `clean` is without noise."""

    kind: str
    level: float
    draw: int
    accuracy: float
    correct: str
    spikes: float
    operations: float
    accumulates: float
    multiply_accumulates: float
    energy_nj: float


class NoiseCurves(_Part):
    """All noise results of a run, on `samples` of the test part."""

    samples: int
    results: list[NoiseResult]


class RunResult(_Part):
    """One training. `initial_weights` is a fingerprint of the synaptic weights before training.

    `settings` is the whole training configuration, `history` what `training.learning.history.History` recorded.
    `network` is the structure that was trained; it is wider than that of the settings in a run with `match_parameters`,
    which has as nearly as possible `parameters_to_match` parameters that learn. `error` says why a run has no
    measurements: its training diverged. `seconds` are those of training in all processes
    that worked on the run.
    """

    key: str
    seed: int
    settings: dict[str, Any]
    made_by: Provenance
    finished_at: datetime
    seconds: float
    cpu_seconds: float
    samples: int
    initial_weights: str
    timesteps: int
    voters: int
    weights: int
    thresholds: int
    network: str | None = None
    parameters_to_match: int | None = None
    layers: list[Layer]
    history: list[dict[str, Any]]
    best_epoch: int | None = None
    validation: Measurement | None = None
    test: Measurement | None = None
    initial_thresholds: list[InitialThresholds] = []
    statistics: list[LayerStatistics] = []
    raster: Raster | None = None
    error: str | None = None

    @property
    def learnt_parameters(self) -> int:
        """The number of parameters that learn in the run's mode."""
        mode = self.settings["mode"]
        return (0 if mode == "tl" else self.weights) + (0 if mode == "sl" else self.thresholds)

    @property
    def spiking_layers(self) -> list[Layer]:
        """The layers with neurons, in the order of the columns of spikes and operations."""
        return [layer for layer in self.layers if layer.spikes_index is not None]


class SearchPoint(_Part):
    """One setting that a search tried, measured on the validation part."""

    point: Point
    key: str
    accuracy: float | None
    samples: int
    operations: float | None
    spikes: float | None
    seconds: float
    error: str | None = None


class SearchResult(_Part):
    """The search of one arm: everything that was tried, and what was chosen."""

    points: list[SearchPoint]
    chosen: Point


class ArmRun(_Part):
    """A run of an arm at a seed."""

    arm: str
    seed: int
    run: RunResult
    noise: NoiseCurves | None = None


class DataSummary(_Part):
    """The data set. `test_labels` are packed class ids; `fingerprint` is of all samples and labels."""

    name: str
    attribution: str | None
    fingerprint: str
    labels: list[str]
    train_samples: int
    test_samples: int
    test_labels: str
    input: dict[str, Any]


class Results(_Part):
    """The whole of `results.json`. It is complete if every arm has every seed and its noise."""

    format_version: int = FORMAT_VERSION
    study: Study
    data: DataSummary
    updated_at: datetime
    complete: bool
    search: dict[str, SearchResult]
    runs: list[ArmRun]
