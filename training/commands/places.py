"""Where a command finds data sets, the store and versions in it."""

import argparse
from pathlib import Path
from typing import Protocol

from contract.card import Card, read_card
from contract.checkpoint import CheckpointError
from contract.group import GROUP_FILE, Group, read_group
from contract.names import ModelRef
from contract.settings import InvalidSettings, Settings, load
from contract.store import Store
from training.errors import ConfigError


class Commands(Protocol):
    """What adds a command to the command line."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:
        """The parser of a new command."""


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add the options `--data-dir` and `--store`."""
    parser.add_argument("--data-dir", type=Path, help="folder with the data set's files (digits needs none)")
    add_store(parser)


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the option `--store`."""
    parser.add_argument(
        "--store",
        type=Path,
        metavar="FOLDER",
        help="model store (default: SNN_MODEL_STORE, whose first folder gets new versions)",
    )


def read_settings() -> Settings:
    """The settings of the environment; `ConfigError` names all problems."""
    try:
        return load()
    except InvalidSettings as error:
        raise ConfigError("; ".join(error.problems)) from error


def open_store(options: argparse.Namespace) -> Store:
    """The store of `--store`, or of the settings."""
    return Store(*read_settings().model_store) if options.store is None else Store(options.store)


def find(model: str, store: Store) -> tuple[Card, Path]:
    """The card and the checkpoint file of `NAME` or `NAME/VERSION`; `ConfigError` for a group, which has none."""
    if group := group_of(model, store):
        raise ConfigError(f"{model} is a group of {', '.join(group.members)}; name one of its members")
    path = find_file(model, store)
    return read_card(path), path


def group_of(model: str, store: Store) -> Group | None:
    """The group of `NAME` or `NAME/VERSION`, None for a version that is not one."""
    path = find_file(model, store)
    try:
        return read_group(path) if path.name == GROUP_FILE else None
    except CheckpointError as error:
        raise ConfigError(f"{model}: {error}") from error


def find_file(model: str, store: Store) -> Path:
    """The file of `NAME` or `NAME/VERSION` in the store."""
    try:
        ref = ModelRef.parse(model)
    except ValueError as error:
        raise ConfigError(f"{model!r}: {error}") from error
    checkpoints = store.checkpoints(ref.name)
    if not checkpoints:
        known = ", ".join(store.names()) or "none"
        raise ConfigError(
            f"there is no model {ref.name!r} in {' or '.join(map(str, store.folders))}; there are {known}"
        )
    version = max(checkpoints) if ref.version is None else ref.version
    if version not in checkpoints:
        raise ConfigError(f"{ref.name} has no version {version}; there are {', '.join(map(str, checkpoints))}")
    return checkpoints[version]
