"""A single loaded version in place of a store."""

from contract.errors import VersionNotFound
from service.models.version import Loaded


class SingleVersion:
    """The one version that this process serves, whatever name its server gives the model."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded

    async def get(self, name: str, number: int | None, *, timeout: float | None = None) -> Loaded:
        """The version; `VersionNotFound` for another number."""
        if number not in (None, self._loaded.version.number):
            raise VersionNotFound(f"only version {self._loaded.version.number} is served here", param="version")
        return self._loaded
