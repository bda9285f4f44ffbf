"""Names of models and of their versions."""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
ModelName = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]


def check_preload(entries: Sequence[str]) -> None:
    """Refuse, with a `ValueError`, what is neither `*` nor a model's name nor `name/version`."""
    for entry in entries:
        if not re.fullmatch(rf"\*|{NAME_PATTERN}(/[1-9][0-9]*)?", entry):
            raise ValueError(f"cannot preload {entry!r}: write '*', a model's name, or name/version")
