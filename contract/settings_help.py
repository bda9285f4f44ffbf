"""The settings as users read them: under headings, for `--help` and the documentation."""

import os
import textwrap
from typing import NamedTuple

from contract.settings import HEADINGS, PREFIX, Settings


class Described(NamedTuple):
    """A setting as users see it; `default` is empty where a setting has none."""

    name: str
    default: str
    meaning: str


def described() -> dict[str, list[Described]]:
    """All settings under their headings, for `--help` and the documentation."""
    groups: dict[str, list[Described]] = {}
    heading = ""
    for field_name, field in Settings.model_fields.items():
        heading = HEADINGS.get(field_name, heading)
        default = field.default
        if isinstance(default, tuple):
            separator = os.pathsep if field_name == "model_store" else ","
            default = separator.join(map(str, default))
        shown = "" if field.default in (None, {}) else str(default)
        setting = Described(f"{PREFIX}{field_name.upper()}", shown, field.description or "")
        groups.setdefault(heading, []).append(setting)
    return groups


def describe() -> str:
    """All settings as text: headings, names, defaults and descriptions."""
    lines = []
    for heading, settings in described().items():
        lines += ["", heading]
        for setting in settings:
            default = f" [{setting.default}]" if setting.default else ""
            lines += textwrap.wrap(f"{setting.name}{default}", 100, initial_indent="  ")
            lines += textwrap.wrap(setting.meaning, 100, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)
