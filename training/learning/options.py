"""A training configuration from the command line: preset, then options."""

import argparse
import re
import types
import typing
from typing import Any

from pydantic import ValidationError

from training.errors import ConfigError
from training.learning.config import TrainingConfig, load_preset


def metavar(annotation: Any) -> str:
    """A placeholder for a field's value: its choices or its type."""
    options = typing.get_args(annotation) if typing.get_origin(annotation) in (types.UnionType, typing.Union) else ()
    plain = next((option for option in options if option is not type(None)), annotation)
    while typing.get_origin(plain) is typing.Annotated:
        plain = typing.get_args(plain)[0]
    if typing.get_origin(plain) is typing.Literal:
        return "{" + ",".join(typing.get_args(plain)) + "}"
    if typing.get_origin(plain) is tuple:
        return "C,H,W"
    return {bool: "{true,false}", int: "N", float: "X"}.get(plain, "TEXT")


def config_of(options: argparse.Namespace) -> TrainingConfig:
    """The preset's values, overridden by the options; `ConfigError` names an invalid option."""
    given = {name: getattr(options, f"field_{name}") for name in TrainingConfig.model_fields}
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "image_shape" in fields and re.fullmatch(r"\d+,\d+,\d+", fields["image_shape"]):
        fields["image_shape"] = fields["image_shape"].split(",")
    try:
        return TrainingConfig(**(load_preset(options.preset) if options.preset else {}) | fields)
    except ValidationError as error:
        raise ConfigError("; ".join(_problem(problem["loc"], problem["msg"]) for problem in error.errors())) from error


def _problem(location: tuple[int | str, ...], message: str) -> str:
    """The message for an invalid option, or an invalid combination."""
    if location[:1] == ("image_shape",):
        return "--image-shape: must be three whole numbers, such as 3,32,32"
    option = f"--{str(location[0]).replace('_', '-')}: " if location else ""
    return option + message.removeprefix("Value error, ")
