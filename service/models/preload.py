"""What is loaded at start, without waiting for a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from contract.names import ModelRef, check_preload
from service.models.version import Model, Version


@dataclass(frozen=True)
class Preload:
    """The versions to load at start.

    A reference without a version stands for the model's default; `everything` for the default of every model, including
    models that appear later.
    """

    everything: bool
    refs: tuple[ModelRef, ...]

    @classmethod
    def parse(cls, entries: Sequence[str]) -> Self:
        """Read `*`, model names and `name/version`; `ValueError` for anything else."""
        check_preload(entries)
        refs = dict.fromkeys(ModelRef.parse(entry) for entry in entries if entry != "*")
        return cls(everything="*" in entries, refs=tuple(refs))

    def includes(self, ref: ModelRef) -> bool:
        """Whether to load this version or, for a reference without a version, the default of this model."""
        return ref in self.refs or (self.everything and ref.version is None)

    def missing(self, models: Mapping[str, Model]) -> list[str]:
        """The entries that `models` does not have, in the order of the setting."""
        return [str(ref) for ref in self.refs if not _is_there(ref, models)]

    def pending(self, models: Mapping[str, Model]) -> list[str]:
        """The versions that are neither loaded nor failed, as `name/version`, and the missing entries.

        Those of `*` come first, then the others in the order of the setting.
        """
        refs = [ModelRef(name) for name in models] if self.everything else []
        return list(dict.fromkeys(entry for ref in [*refs, *self.refs] for entry in _pending(ref, models)))


def _is_there(ref: ModelRef, models: Mapping[str, Model]) -> bool:
    model = models.get(ref.name)
    return model is not None and (ref.version is None or ref.version in model.versions)


def _pending(ref: ModelRef, models: Mapping[str, Model]) -> list[str]:
    if not _is_there(ref, models):
        return [str(ref)]
    version = _version(ref, models[ref.name])
    return [version.label] if version is not None and version.state in ("available", "loading") else []


def _version(ref: ModelRef, model: Model) -> Version | None:
    """The version of `ref`, or the default; None if every version failed to load."""
    number = model.default if ref.version is None else ref.version
    return None if number is None else model.versions.get(number)
