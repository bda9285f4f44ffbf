"""Names of models, and references to models and their versions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field

NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
VERSION_PATTERN = r"[1-9][0-9]{0,8}"
ModelName = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]

_REFERENCE = re.compile(f"({NAME_PATTERN})(?:/({VERSION_PATTERN}))?")


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model, or one of its versions: `name` or `name/version` as text."""

    name: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name` or `name/version`; `ValueError` for anything else."""
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise ValueError("write a model name, or name/version")
        return cls(match[1], int(match[2]) if match[2] else None)

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}/{self.version}"


def check_preload(entries: Sequence[str]) -> None:
    """Accept `*`, model names and `name/version`; `ValueError` for anything else."""
    for entry in entries:
        if entry != "*":
            try:
                ModelRef.parse(entry)
            except ValueError as error:
                raise ValueError(f"cannot preload {entry!r}: write '*', a model name, or name/version") from error
