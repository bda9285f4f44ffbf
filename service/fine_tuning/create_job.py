"""The request body for a fine-tuning job: OpenAI's, with more fields."""

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)

from contract.card import MAX_LABEL_LENGTH, MAX_LABELS, Mode
from contract.errors import InvalidParameter
from contract.job_spec import HYPERPARAMETERS, Promote
from service.fine_tuning.hyperparameters import BATCH_SIZE, MAX_LEARNING_RATE_MULTIPLIER, N_EPOCHS
from service.parsing import Body, explain, unknown_name

MAX_JOB_BYTES = 512 * 1024  # of a request's body; all that a job may hold fits into it
MAX_LAYERS = 1_000
MAX_METADATA = 16


def _auto_to_none(value: Any) -> Any:
    return None if value == "auto" else value


def _require_unique(values: list[str] | None) -> list[str] | None:
    if values is not None and len(set(values)) != len(values):
        raise ValueError("the names must be different from each other")
    return values


def _limit_pairs(values: dict[str, str] | None) -> dict[str, str] | None:
    if values is not None and len(values) > MAX_METADATA:
        raise ValueError(f"at most {MAX_METADATA} pairs are allowed")
    return values


def _or_auto(schema: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"const": "auto", "type": "string"}, schema, {"type": "null"}]})


# None stands for `auto`, as a missing field does.
Epochs = Annotated[
    int | None,
    Field(ge=N_EPOCHS.start, lt=N_EPOCHS.stop),
    BeforeValidator(_auto_to_none),
    _or_auto({"type": "integer", "minimum": N_EPOCHS.start, "exclusiveMaximum": N_EPOCHS.stop}),
]
BatchSize = Annotated[
    int | None,
    Field(ge=BATCH_SIZE.start, lt=BATCH_SIZE.stop),
    BeforeValidator(_auto_to_none),
    _or_auto({"type": "integer", "minimum": BATCH_SIZE.start, "exclusiveMaximum": BATCH_SIZE.stop}),
]
Multiplier = Annotated[
    float | None,
    Field(gt=0, le=MAX_LEARNING_RATE_MULTIPLIER, allow_inf_nan=False),
    BeforeValidator(_auto_to_none),
    _or_auto({"type": "number", "exclusiveMinimum": 0, "maximum": MAX_LEARNING_RATE_MULTIPLIER}),
]
Decay = Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)]
Floor = Annotated[float | None, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LABEL_LENGTH, pattern=r"^[^\x00-\x1f\x7f]*$")]
Labels = Annotated[list[Label] | None, Field(min_length=2, max_length=MAX_LABELS), AfterValidator(_require_unique)]
Layers = Annotated[list[str] | None, Field(max_length=MAX_LAYERS), AfterValidator(_require_unique)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
Value = Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00]*$")]
Metadata = Annotated[dict[Key, Value] | None, AfterValidator(_limit_pairs)]


class Hyperparameters(Body):
    """How a job learns. The service chooses what is `auto`, null or missing, by the size of the data set."""

    n_epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate_multiplier: Multiplier = Field(
        None, description="Factor on the learning rate of the model's training."
    )
    threshold_learning_rate_multiplier: Multiplier = Field(
        None, description="Factor on the learning rate for thresholds; by default as in the model's training."
    )
    threshold_weight_decay: Decay = Field(
        None, description="Weight decay of the thresholds; by default as in the model's training."
    )
    threshold_floor: Floor = Field(
        None, description="Least value of a threshold; by default as in the model's training, which may be none."
    )
    learning_mode: Mode | None = Field(
        None, description="`stl` (default): weights and thresholds learn; `sl`: weights; `tl`: thresholds."
    )
    freeze: Layers = Field(None, description="Layers of the model's card that do not learn.")
    labels: Labels = Field(None, description="Class labels of a new output layer; by default the model keeps its own.")


class Supervised(Body):
    """The only method."""

    hyperparameters: Hyperparameters | None = None


class Method(Body):
    """How a job learns: from labelled samples."""

    type: Literal["supervised"]
    supervised: Supervised | None = None


class CreateJobBody(Body):
    """A fine-tuning job to create."""

    model: str = Field(description="The model to fine-tune: its name, for its default version, or `name/version`.")
    training_file: str = Field(description="Id of an uploaded data set.")
    validation_file: str | None = Field(
        None, description="Id of a data set to validate on; by default a part of the training file is set aside."
    )
    suffix: str | None = Field(
        None,
        description="The result is a version of the model `<name>-<suffix>`; by default, the model's next version.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    metadata: Metadata = Field(
        None, description="At most 16 pairs of strings: names of up to 64 characters, values of up to 512."
    )
    priority: Annotated[int, Field(ge=-100, le=100)] | None = Field(
        None, description="Jobs of higher priority run first."
    )
    promote: Promote | None = Field(
        None,
        description="Whether the result becomes the model's default: `never` (default), `always`, or `if_better`, "
        "that is, if its validation accuracy is not lower.",
    )
    method: Method | None = None
    hyperparameters: Hyperparameters | None = Field(
        None, description="OpenAI's older place for hyperparameters, for requests without `method`."
    )
    integrations: Annotated[list[Any], Field(max_length=0)] | None = Field(None, description="None are supported.")

    @property
    def chosen(self) -> Hyperparameters:
        """The hyperparameters, from either place."""
        supervised = self.method.supervised if self.method is not None else None
        given = supervised.hyperparameters if supervised is not None else None
        return given or self.hyperparameters or Hyperparameters()


def read_create_job(value: Any) -> CreateJobBody:
    """The body of a request from its parsed JSON; `InvalidParameter` names the field by its whole path."""
    _refuse_unknown_names(value, CreateJobBody)
    method = value.get("method") if isinstance(value, dict) else None
    kind = method.get("type") if isinstance(method, dict) else None
    if isinstance(kind, str) and kind != "supervised":
        raise InvalidParameter(f"method.type: {kind!r} is not supported; it must be 'supervised'", param="method.type")
    try:
        body = CreateJobBody.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        explained = explain(problems)
        place = ".".join(str(part) for part in problems[0]["loc"] if isinstance(part, str))
        raise InvalidParameter(explained.message, param=place or None) from error
    if body.method is not None and body.hyperparameters is not None:
        message = f"hyperparameters: with 'method', they belong in {HYPERPARAMETERS}"
        raise InvalidParameter(message, param="hyperparameters")
    return body


def _refuse_unknown_names(value: Any, body: type[BaseModel], place: str = "") -> None:
    """Reject unknown fields at any depth and suggest the closest known one."""
    if not isinstance(value, dict):
        return
    for name, inside in value.items():
        where = f"{place}{name}"
        if name not in body.model_fields:
            unknown = unknown_name(name, body.model_fields, f"a field of {place.rstrip('.') or 'a job'}")
            raise InvalidParameter(unknown.message, param=where)
        for kind in get_args(body.model_fields[name].annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                _refuse_unknown_names(inside, kind, f"{where}.")
