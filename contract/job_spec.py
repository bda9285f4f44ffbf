"""A fine-tuning job as the service, the worker and the child process agree on it: names, specification, folder.

The service enqueues the workflow `WORKFLOW` on `QUEUE` with one argument, a `JobSpec` as JSON. The worker that takes
the job writes the specification into the job's folder, `<SNN_DATA_DIR>/jobs/<id>/job.json`, and runs
`python -m training fine-tune --job <that folder>`. All three report into that folder: see `contract.job_events`.
"""

from typing import Annotated, Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from contract.card import Mode
from contract.names import ModelName

QUEUE = "fine-tuning"
WORKFLOW = "fine_tune"
APPLICATION = "stl-snn"
APPLICATION_VERSION = "1"  # of the meaning of a job; constant, so that a new release continues the old one's jobs


class ClientOptions(TypedDict):
    """Options of DBOS's client that the service and the worker agree on."""

    application_name: str
    lazy: bool
    retry_connection_errors: bool


CLIENT_OPTIONS: ClientOptions = {"application_name": APPLICATION, "lazy": True, "retry_connection_errors": False}

JOBS_FOLDER = "jobs"
FILES_FOLDER = "files"
LOCKS_FOLDER = "locks"
SPEC_FILE = "job.json"
LOG_FILE = "child.log"
ALIVE_FILE = "alive"  # touched again and again by that process
ALIVE_SECONDS = 5.0
LOCK_FILE = ".lock"  # held by the process that runs the job
HEARTBEAT_FILE = "worker.json"
HEARTBEAT_SECONDS = 5.0
LOST_AFTER_SECONDS = 30.0  # without a heartbeat
PARENT_VARIABLE = "STL_SNN_WORKER_PID"  # in a child's environment: the process whose death ends it
PLACED_VARIABLE = "STL_SNN_PLACED"  # in a child's environment: its device is reserved for it, and it takes no lock

HYPERPARAMETERS = "method.supervised.hyperparameters"  # their path in a request, and in the `param` of an error

BUSY = 75  # the exit status of a child that finds its job running in another process

Promote = Literal["never", "if_better", "always"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataFile(_Part):
    """An uploaded data set: the upload's id, its file name, and the content at `<SNN_DATA_DIR>/files/<sha256>`."""

    id: str
    filename: str
    sha256: str


class JobSpec(_Part):
    """Everything that a fine-tuning needs to know; nothing is left to choose.

    - `name`: the model that gets the new version
    - `model`, `version`: the version that is fine-tuned
    - `labels`: class labels of a new output layer; None keeps the present one
    - `learning_rate`: the rate of the model's first training, from its card, times `learning_rate_multiplier`
    - `threshold_learning_rate_multiplier`, `threshold_weight_decay`, `threshold_floor`: how thresholds learn
    - `freeze`: names of layers, as on the card, that do not learn
    - `request_sha256`: a hash of the request; with the same idempotency key, another request is a conflict
    - `requested`: the body of the request, unchanged
    """

    id: str
    name: ModelName
    model: ModelName
    version: PositiveInt
    training_file: DataFile
    validation_file: DataFile | None = None
    labels: tuple[str, ...] | None = None
    mode: Mode = "stl"
    n_epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    learning_rate_multiplier: PositiveFloat = 1.0
    threshold_learning_rate_multiplier: PositiveFloat = 1.0
    threshold_weight_decay: NonNegativeFloat = 0.0
    threshold_floor: float | None = None
    freeze: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    promote: Promote = "never"
    priority: int = Field(0, ge=-100, le=100)
    suffix: str | None = None
    metadata: dict[str, str] = {}
    request_sha256: str = ""
    requested: dict[str, Any] = {}
