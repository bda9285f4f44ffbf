"""`/v1/models`: models and their versions."""

from stl_snn_client.answers import Change, Deleted, Model, Page, Version
from stl_snn_client.call import Call, json_body, path, query, read_json


def list_models() -> Call[list[Model]]:
    """All models with their versions, sorted by name."""
    return Call("GET", "/v1/models", lambda body: list(read_json(body)["data"]))


def get_model(name: str) -> Call[Model]:
    """A model and its versions."""
    return Call("GET", path("/v1/models/{}", name), read_json)


def get_version(name: str, version: int) -> Call[Version]:
    """A version with its whole `card`."""
    return Call("GET", _version(name, version), read_json)


def promote(name: str, version: int, *, expected: int | None = None) -> Call[Model]:
    """Make a version the default, if `expected` is the default now; to roll back, promote the one before."""
    content, headers = json_body({"version": version} | ({} if expected is None else {"expected": expected}))
    place = path("/v1/models/{}/default", name)
    # Sent twice, the second would not find the expected version.
    return Call("PUT", place, read_json, content=content, headers=headers, repeatable=expected is None)


def load(name: str, version: int, *, timeout: float | None = None) -> Call[Version]:
    """Load a version into memory, and answer when it is ready."""
    return Call("POST", f"{_version(name, version)}/load", read_json, timeout=timeout)


def unload(name: str, version: int) -> Call[Version]:
    """Free a version's memory; not for the default."""
    return Call("POST", f"{_version(name, version)}/unload", read_json)


def delete(name: str, version: int) -> Call[Deleted]:
    """Remove a version from the store for good; not for the default."""
    return Call("DELETE", _version(name, version), read_json, repeatable=False)


def history(name: str, *, after: str | None = None, limit: int | None = None) -> Call[Page[Change]]:
    """The changes to a model's versions and default, newest first."""
    return Call("GET", path("/v1/models/{}/history", name), read_json, params=query(after=after, limit=limit))


def _version(name: str, version: int) -> str:
    return path("/v1/models/{}/versions/{}", name, version)
