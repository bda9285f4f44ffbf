"""JSON bodies of models and versions."""

from typing import Literal

from pydantic import BaseModel, Field, PositiveInt

from contract.card import Card, InputSpec
from contract.card import Metrics as CardMetrics
from service.parsing import Body


class DefaultBody(Body):
    """Which version becomes the default, and which one the caller takes to be it now."""

    version: PositiveInt
    expected: PositiveInt | None = None


class VersionBody(BaseModel):
    """A version of a model; what its card says is null while no card could be read."""

    version: PositiveInt
    state: Literal["available", "loading", "ready", "failed"]
    created_at: float | None = Field(description="Unix seconds.")
    parent: str | None = Field(description="`name/version` that it was fine-tuned from.")
    task: str | None
    input: InputSpec | None
    labels: list[str] | None
    metrics: CardMetrics | None
    error: str | None = Field(description="Why the state is `failed`.")


class VersionWithCard(VersionBody):
    """A version with its whole card."""

    card: Card | None


class ModelBody(BaseModel):
    """A model and its versions."""

    name: str
    object: Literal["model"]
    id: str = Field(description="The name once more.")
    created: int = Field(description="Unix seconds of its oldest version, 0 while unknown.")
    owned_by: str
    default_version: PositiveInt | None
    versions: list[VersionBody]


class ModelWithPrevious(ModelBody):
    """A model whose default was just set."""

    previous_default_version: PositiveInt | None


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"]
    data: list[ModelBody]


class Deleted(BaseModel):
    """What was deleted."""

    name: str
    version: PositiveInt
    object: Literal["model.version"]
    deleted: Literal[True]
