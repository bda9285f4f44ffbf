"""What the server and its models are, and whether they are ready."""

from contract.errors import ModelFailedToLoad, Unavailable
from service.models.registry import Registry
from service.models.version import Version
from service.open_inference.bodies import ModelMetadata, ServerMetadata
from service.open_inference.tensors import inputs_of, outputs_of

NAME = "stl-snn"
PLATFORM = "stl_snn"
EXTENSIONS = ["binary_tensor_data", "model_repository"]


def server_metadata(version: str) -> ServerMetadata:
    """The server's name, its `version`, and the extensions of the protocol that it has."""
    return {"name": NAME, "version": version, "extensions": EXTENSIONS}


async def model_metadata(registry: Registry, name: str, number: int | None) -> ModelMetadata:
    """The inputs and outputs of a version, by default of the default one.

    Raises `ModelNotFound`, `VersionNotFound`, `ModelFailedToLoad`, or `Unavailable` for a group that is not in memory.
    """
    version = await registry.find_version(name, number)
    card = version.card if version.engine is None else version.engine.card
    if card is None:
        _refuse_failed(version)
        raise Unavailable(f"{version.label} is a group, whose inputs and outputs are known once it is in memory")
    return {
        "name": name,
        "versions": [str(each.number) for each in registry.versions(name)],
        "platform": PLATFORM,
        "inputs": inputs_of(card.input),
        "outputs": outputs_of(card.labels),
    }


async def check_model_ready(registry: Registry, name: str, number: int | None) -> None:
    """Return if a version is in memory; otherwise as `model_metadata`, or `Unavailable`."""
    version = await registry.find_version(name, number)
    _refuse_failed(version)
    if version.engine is None:
        state = "is loading" if version.state == "loading" else "is not in memory; it loads on its first request"
        raise Unavailable(f"{version.label} {state}")


def _refuse_failed(version: Version) -> None:
    if version.state == "failed":
        raise ModelFailedToLoad(f"{version.label} failed to load: {version.error}")
