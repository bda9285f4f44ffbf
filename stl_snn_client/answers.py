"""The service's answers as typed dictionaries: its JSON as it is, so that fields of newer services are kept."""

from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

T = TypeVar("T")


class ClassScore(TypedDict):
    """A class and its score, 0 to 1."""

    class_id: int
    label: str
    score: float


class LayerSpikes(TypedDict):
    """Spikes of one layer, and spikes per neuron and time step."""

    name: str
    spikes: int
    firing_rate: float


class Spikes(TypedDict):
    """Spikes of one inference; `total` leaves those of the input out."""

    total: int
    input: int
    per_neuron_per_step: float
    layers: NotRequired[list[LayerSpikes]]
    timesteps: NotRequired[list[int]]


class LayerEnergy(TypedDict):
    """Operations of one layer, and their estimated energy."""

    name: str
    accumulates: int
    multiply_accumulates: int
    estimate_nj: float


class Energy(TypedDict):
    """Exact counts of operations, and an estimate of their energy."""

    profile: str
    estimate_nj: float
    ann_equivalent_nj: float
    ratio: float | None
    accumulates: int
    multiply_accumulates: int
    layers: list[LayerEnergy]
    synaptic_activity: float | None
    crossover_activity: float
    measured_mj: float | None
    estimates: NotRequired[list[dict[str, Any]]]


class TimeStep(TypedDict):
    """The votes of one time step alone."""

    step: int
    class_id: int
    score: float
    scores: list[float]


class LayerRaster(TypedDict):
    """The numbers of a layer's neurons that fired, for each time step; `shape` is `[C, H, W]` or `[N]`."""

    layer: str
    neurons: int
    shape: list[int]
    steps: list[list[int]]


class NetworkInput(TypedDict):
    """What the network was given: `frames` of the values of `shape` `[C, H, W]` in a row."""

    shape: list[int]
    frames: list[list[int]]


class Prediction(TypedDict):
    """The prediction for one input."""

    index: int
    class_id: int
    label: str
    score: float
    probability: NotRequired[float]
    top_k: list[ClassScore]
    warnings: NotRequired[list[dict[str, str]]]
    preprocessing: dict[str, Any] | None
    spikes: Spikes
    energy: Energy
    timesteps: NotRequired[list[TimeStep]]
    raster: NotRequired[list[LayerRaster]]
    input: NotRequired[NetworkInput]
    steps_used: NotRequired[int]
    joint: NotRequired[dict[str, Any]]


class Timing(TypedDict):
    """Milliseconds of waiting, computing and in all, and how many inputs ran together."""

    queue_ms: float
    compute_ms: float
    total_ms: float
    batch_size: int


class PredictAnswer(TypedDict):
    """One prediction for each input, in the same order."""

    id: str
    model: str
    version: int
    predictions: list[Prediction]
    timing: Timing


class Version(TypedDict):
    """A version of a model. What its card says is None if the card cannot be read."""

    version: int
    state: Literal["available", "loading", "ready", "failed"]
    created_at: float | None
    parent: str | None
    task: str | None
    input: dict[str, Any] | None
    labels: list[str] | None
    metrics: dict[str, Any] | None
    error: str | None
    engine: dict[str, Any] | None
    card: NotRequired[dict[str, Any] | None]


class Model(TypedDict):
    """A model and its versions."""

    name: str
    default_version: int | None
    versions: list[Version]
    previous_default_version: NotRequired[int | None]


class Change(TypedDict):
    """A version was published, made the default, or deleted."""

    id: str
    created_at: float
    action: str
    version: int
    previous: int | None


class Dataset(TypedDict):
    """What an uploaded data set holds."""

    kind: Literal["image", "events"]
    samples: int
    classes: dict[str, int]
    class_count: int
    sha256: str


class File(TypedDict):
    """An upload; `created_at` in Unix seconds."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str
    dataset: Dataset


class JobError(TypedDict):
    """Why a job failed."""

    code: str
    message: str
    param: str | None


class Progress(TypedDict):
    """Epochs that are complete, and steps of the optimizer."""

    epoch: int
    epochs: int
    step: int
    steps: int | None


class Job(TypedDict):
    """A fine-tuning job; times in Unix seconds."""

    id: str
    object: Literal["fine_tuning.job"]
    created_at: int
    started_at: int | None
    finished_at: int | None
    estimated_finish: int | None
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    queue_position: int | None
    model: str
    fine_tuned_model: str | None
    error: JobError | None
    training_file: str
    validation_file: str | None
    hyperparameters: dict[str, Any]
    suffix: str | None
    seed: int
    metadata: dict[str, str]
    priority: int
    promote: Literal["never", "if_better", "always"]
    attempt: int
    progress: Progress
    metrics: dict[str, float]


class JobEvent(TypedDict):
    """An event of a job."""

    id: str
    object: Literal["fine_tuning.job.event"]
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]


class Checkpoint(TypedDict):
    """A version that a job has published."""

    id: str
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: dict[str, float]


class Deleted(TypedDict):
    """What was deleted: an `id`, or the `name` and `version` of a model."""

    deleted: Literal[True]
    object: str
    id: NotRequired[str]
    name: NotRequired[str]
    version: NotRequired[int]


class Ready(TypedDict):
    """A stream is open: the version that runs, the length of its time steps in µs, and T, their number."""

    type: Literal["ready"]
    model: str
    version: int
    step_us: int
    timesteps: int


class Decision(TypedDict):
    """A stream's decision after one time step; `..._total` are sums over all steps so far."""

    type: Literal["decision"]
    step: int
    start_us: int
    end_us: int
    class_id: int
    label: str
    score: float
    scores: NotRequired[list[float]]
    spikes: int
    spikes_total: int
    accumulates: int
    multiply_accumulates: int
    estimate_nj: float
    estimate_nj_total: float
    events: int
    late: int
    dropped: int
    skipped: int
    latency_ms: float | None
    final: NotRequired[bool]


class StreamTotals(TypedDict):
    """What a stream has done."""

    type: Literal["closed"]
    steps: int
    events: int
    late: int
    dropped: int
    spikes_total: int
    estimate_nj_total: float


class Health(TypedDict):
    """The state of the service."""

    status: Literal["live", "ready"]


class Page(TypedDict, Generic[T]):
    """A page of a list; `last_id` is where the next one starts."""

    data: list[T]
    has_more: bool
    first_id: str | None
    last_id: str | None
