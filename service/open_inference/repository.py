"""The model repository extension: which versions there are, and bringing them into memory and out of it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from contract.errors import InvalidParameter, Unavailable
from service.models.registry import Registry
from service.models.version import State
from service.open_inference.bodies import IndexEntry
from service.parsing import unknown_name

VERSION = "version"
UNLOAD_DEPENDENTS = "unload_dependents"  # of Triton's clients; nothing here depends on a model

_UNLOADED = "not in memory; it loads on its first request"


async def index_json(registry: Registry, *, ready: bool) -> bytes:
    """Every version as JSON, by name and number; with `ready` those in memory."""
    return await asyncio.to_thread(lambda found: to_json([_entry(*each) for each in found]), _found(registry, ready))


def index(registry: Registry, *, ready: bool) -> list[IndexEntry]:
    """The same as objects."""
    return [_entry(*each) for each in _found(registry, ready)]


async def load_model(registry: Registry, name: str, parameters: Mapping[str, Any], *, seconds: float) -> None:
    """Load a version, by default the default one; a version that failed before is tried again.

    Raises `Unavailable` after `seconds`, while loading continues; `ModelFailedToLoad` and what `find_version` raises.
    """
    number = _version(parameters, [VERSION])
    version = await registry.find_version(name, number)
    try:
        async with asyncio.timeout(seconds):
            await registry.load(name, version.number)
    except TimeoutError:
        raise Unavailable(f"{version.label} is still loading", param="version") from None


async def unload_model(registry: Registry, name: str, parameters: Mapping[str, Any]) -> None:
    """Free the memory of a version; `VersionInUse` for the default one, which always stays."""
    number = _version(parameters, [VERSION, UNLOAD_DEPENDENTS])
    await registry.unload(name, (await registry.find_version(name, number)).number)


def _found(registry: Registry, ready: bool) -> list[tuple[str, int, State, str | None]]:
    return [
        (model.name, number, version.state, version.error)
        for model in registry.models()
        for number, version in sorted(model.versions.items())
        if not ready or version.state == "ready"
    ]


def _entry(name: str, number: int, state: State, error: str | None) -> IndexEntry:
    entry: IndexEntry = {"name": name, "version": str(number), "state": "READY", "reason": ""}
    if state != "ready":
        entry["state"] = "LOADING" if state == "loading" else "UNAVAILABLE"
        entry["reason"] = error or ("" if state == "loading" else _UNLOADED)
    return entry


def _version(parameters: Mapping[str, Any], known: list[str]) -> int | None:
    for name in parameters:
        if name not in known:
            error = unknown_name(name, known, "a parameter of this request")
            error.param = "parameters"
            raise error
    value = parameters.get(VERSION)
    if value is not None and (type(value) is not int or value < 1):
        raise InvalidParameter(f"version must be a positive integer, not {value!r}", param=VERSION)
    return value
