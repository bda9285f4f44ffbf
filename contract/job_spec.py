"""A fine-tuning job, as service, worker and child agree on it: names in the database, specification, folder, events.

The service enqueues the workflow `WORKFLOW` on `QUEUE` with one argument, a `JobSpec` as JSON. The worker that takes it
writes the specification into the job's folder, `<SNN_DATA_DIR>/jobs/<id>/job.json`, and runs
`python -m training fine-tune --job <that folder>`. Everything that is told of a running job is an `Event`, one JSON
line of `events.jsonl` in that folder, appended by whoever has something to tell.
"""

from typing import Annotated, Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from contract.card import Mode
from contract.names import ModelName

QUEUE = "fine-tuning"
WORKFLOW = "fine_tune"
APPLICATION = "stl-snn"
APPLICATION_VERSION = "1"  # of what a job means; pinned, so that a new release takes over the jobs of the one before


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
HEARTBEAT_FILE = "worker.json"
HEARTBEAT_SECONDS = 5.0
LOST_AFTER_SECONDS = 30.0  # without a heartbeat
PARENT_VARIABLE = "STL_SNN_WORKER_PID"  # in a child's environment: its parent, without which it does not run

HYPERPARAMETERS = "method.supervised.hyperparameters"  # where a request has them, and so the parameter of an error

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
    """Everything that a fine-tuning needs to know, with nothing left to choose.

    `name` is the model that gets the new version, `model` and `version` are what is fine-tuned; `learning_rate` is the
    base's, from its card, times `learning_rate_multiplier`. `labels` are given for a new output layer only, `freeze`
    names layers of the card. `request_sha256` tells two requests with one idempotency key apart, `requested` is what
    the caller asked for, word for word.
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
    freeze: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    promote: Promote = "never"
    priority: int = Field(0, ge=-100, le=100)
    suffix: str | None = None
    metadata: dict[str, str] = {}
    request_sha256: str = ""
    requested: dict[str, Any] = {}
