"""A group: versions that decide jointly and are served as one model. Its folder in the store has no checkpoint."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from contract.card import Card, Layer
from contract.checkpoint import CheckpointError
from contract.decision import DecisionRule
from contract.names import ModelRef

GROUP_FILE = "group.json"
MAX_MEMBERS = 16
_MAX_BYTES = 10_000


class Group(BaseModel):
    """The content of `group.json`: the members as `name/version`, and the rule that joins their decisions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    created_at: datetime
    members: tuple[str, ...] = Field(min_length=2, max_length=MAX_MEMBERS)
    decision: DecisionRule = "mean"

    @field_validator("members")
    @classmethod
    def _members_are_versions(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        for member in members:
            if ModelRef.parse(member).version is None:
                raise ValueError(f"the member {member!r} needs a version: write name/version")
        if len(set(members)) < len(members):
            raise ValueError("two members are the same version")
        return members

    @property
    def refs(self) -> tuple[ModelRef, ...]:
        """The members."""
        return tuple(map(ModelRef.parse, self.members))


def read_group(path: Path) -> Group:
    """The group in the file at `path`; `CheckpointError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise CheckpointError(f"{GROUP_FILE} has more than {_MAX_BYTES} bytes")
        return Group.model_validate(json.loads(data))
    except OSError as error:
        raise CheckpointError(f"{GROUP_FILE} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{GROUP_FILE} is not valid: {where}: {first['msg']}") from error
    except ValueError as error:
        raise CheckpointError(f"{GROUP_FILE} is not valid JSON") from error


def write_group(folder: Path, group: Group) -> None:
    """Write the group's file into a version's folder that is being made."""
    (folder / GROUP_FILE).write_text(group.model_dump_json(indent=2))


def group_card(name: str, group: Group, cards: Sequence[Card]) -> Card:
    """The card of a group as one network: the layers and voting neurons of all members side by side.

    It is for running the group and is not stored; its metrics and training are those of the first member.
    `CheckpointError` where the members do not take the same input in the same coding, or do not have the same labels.
    """
    first = cards[0]
    for member, card in zip(group.members, cards, strict=True):
        for what in ("input", "labels", "encoder"):
            if getattr(card, what) != getattr(first, what):
                raise CheckpointError(f"its members {group.members[0]} and {member} do not have the same {what}")
    changes = {
        "name": name,
        "created_at": group.created_at,
        "network": " + ".join(card.network for card in cards),
        "voters": sum(card.voters for card in cards),
        "layers": tuple(_side_by_side(cards)),
        "statistics": None,
        "workload": None,
        "calibration": None,
        "parent": None,
    }
    return first.model_copy(update=changes)


def _side_by_side(cards: Sequence[Card]) -> list[Layer]:
    layers: list[Layer] = []
    columns = {"synops_index": 0, "spikes_index": 0}
    for number, card in enumerate(cards, 1):
        for layer in card.layers:
            moved = {
                column: None if (own := getattr(layer, column)) is None else own + before
                for column, before in columns.items()
            }
            layers.append(layer.model_copy(update={"name": f"member{number}.{layer.name}", **moved}))
        columns["synops_index"] += len(card.synaptic_layers)
        columns["spikes_index"] += len(card.spiking_layers)
    return layers
