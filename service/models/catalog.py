"""What is known of the models of a store, by name and number."""

from bisect import insort

from contract.errors import ModelNotFound, VersionNotFound
from contract.names import ModelRef
from service.models.unknown import suggestion
from service.models.version import Model, Version


class Catalog:
    """The models and versions that the last scans of a store found."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._names: list[str] = []
        self.revision = 0
        """Differs after every change of what callers see of the models."""

    def __contains__(self, name: object) -> bool:
        """Whether the store had a model of this name when it was last scanned."""
        return name in self._models

    def names(self) -> list[str]:
        """The models that have a version, sorted."""
        return list(self._names)

    def models(self) -> list[Model]:
        """The models that have a version, sorted by name."""
        return [self._models[name] for name in self._names]

    def model(self, name: str) -> Model:
        """The model `name`; `ModelNotFound`."""
        if name not in self._models:
            raise ModelNotFound(f"there is no model {name!r}{suggestion(name, self._names)}", param="name")
        return self._models[name]

    def versions(self, name: str) -> list[Version]:
        """The versions of `name`, lowest first; `ModelNotFound`."""
        return [version for _, version in sorted(self.model(name).versions.items())]

    def version(self, name: str, number: int) -> Version:
        """One version; `ModelNotFound` or `VersionNotFound`."""
        versions = self.model(name).versions
        if number not in versions:
            message = f"model {name!r} has no version {number}; its latest is version {max(versions)}"
            raise VersionNotFound(message, param="version")
        return versions[number]

    def default(self, name: str) -> int | None:
        """The version that answers a request without a version, None if every version failed; `ModelNotFound`."""
        return self.model(name).default

    def in_memory(self) -> list[Version]:
        """The versions that are loaded."""
        return [version for model in self._models.values() for version in model.versions.values() if version.engine]

    def member(self, ref: ModelRef) -> Version | None:
        """The version that a group names, if the store has it."""
        model = self._models.get(ref.name)
        return None if model is None else model.versions.get(ref.version or 0)

    def groups_of(self, version: Version, *, in_use: bool = False) -> list[str]:
        """The groups that have the version as a member; with `in_use` those that are in memory or on the way there."""
        return [
            each.label
            for model in self._models.values()
            for each in model.versions.values()
            if each.group is not None
            and (not in_use or each.state in ("loading", "ready"))
            and version.ref in each.group.refs
        ]

    def changed(self, version: Version) -> None:
        """Note that callers see something else of the version now, or of its model."""
        if model := self._models.get(version.name):
            self._note_change(model)

    def _note_change(self, model: Model) -> None:
        self.revision += 1
        model.revision = self.revision

    def _add(self, name: str) -> Model:
        """The model `name`, which is new if it was unknown."""
        if name not in self._models:
            self._models[name] = Model(name)
            insort(self._names, name)
        return self._models[name]

    def _remove(self, name: str) -> None:
        """Forget the model `name`, if it is known."""
        if self._models.pop(name, None):
            self._names.remove(name)
            self.revision += 1
