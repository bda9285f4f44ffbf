"""JSON bodies of models and versions."""

from typing import Literal

from pydantic import BaseModel, Field, PositiveInt

from contract.card import Card, InputSpec
from contract.card import Metrics as CardMetrics
from contract.decision import DecisionRule
from service.parsing import Body


class DefaultBody(Body):
    """The version to make the default, and the default that the caller expects to replace."""

    version: PositiveInt
    expected: PositiveInt | None = None


class EngineBody(BaseModel):
    """What runs a version."""

    name: Literal["event", "torchscript", "torchserve", "group"]
    reason: str | None = Field(description="Why it is not the event engine.")


class GroupBody(BaseModel):
    """The members of a group, and how their decisions are joined."""

    members: list[str] = Field(description="Each as `name/version`.")
    decision: DecisionRule


class VersionBody(BaseModel):
    """A version of a model; the fields from its card are null if the card cannot be read."""

    version: PositiveInt
    state: Literal["available", "loading", "ready", "failed"]
    created_at: float | None = Field(description="Unix seconds.")
    parent: str | None = Field(description="The `name/version` that it was fine-tuned from.")
    task: str | None
    input: InputSpec | None
    labels: list[str] | None = Field(
        description="In a model also null if they have more than 1,000 characters altogether."
    )
    metrics: CardMetrics | None
    error: str | None = Field(description="Why the state is `failed`.")
    engine: EngineBody | None = Field(description="What runs it; null if it is not in memory.")
    group: GroupBody | None = Field(
        description="For a group, which has no card of its own: `input` and `labels` are those of its members, "
        "and null while it is not in memory."
    )


class VersionWithCard(VersionBody):
    """A version with its whole card."""

    card: Card | None


class ModelBody(BaseModel):
    """A model and its versions."""

    name: str
    object: Literal["model"]
    id: str = Field(description="The name again.")
    created: int = Field(description="Creation of the oldest version in Unix seconds, 0 if unknown.")
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
    """The deleted version."""

    name: str
    version: PositiveInt
    object: Literal["model.version"]
    deleted: Literal[True]
