"""Models as JSON: what lists and single models show, rendered again only where something has changed."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from contract.card import Card
from contract.group import Group
from service.engine.interface import Choice
from service.models.bodies import EngineBody, GroupBody, ModelBody, VersionBody
from service.models.registry import Registry
from service.models.version import Model, State, Version

OWNER = "stl-snn"
LISTED_LABELS = 1000
"""Characters of all labels of a version, up to which a model shows them."""

_FEW = 20


class _VersionNow(NamedTuple):
    number: int
    state: State
    card: Card | None
    error: str | None
    engine: Choice | None
    group: Group | None


class _ModelNow(NamedTuple):
    """A model at one moment, for a thread to render."""

    name: str
    revision: int
    default: int | None
    versions: list[_VersionNow]


class Listing:
    """The JSON of a registry's models. Long ones are rendered in a thread, once for all who ask."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._rendered: dict[str, tuple[int, bytes]] = {}
        self._revision = -1
        self._all = b""
        self._lock = asyncio.Lock()

    async def model(self, name: str) -> bytes:
        """One model; `ModelNotFound`."""
        model = self._registry.model(name)
        revision, content = self._rendered.get(name, (-1, b""))
        if revision == model.revision:
            return content
        now = _now(model)
        content = _render(now) if len(now.versions) <= _FEW else await asyncio.to_thread(_render, now)
        self._rendered[name] = now.revision, content
        return content

    async def all(self) -> bytes:
        """The list of all models, sorted by name."""
        async with self._lock:
            if self._revision != self._registry.revision:
                revision, models = self._registry.revision, self._registry.models()
                before = {name: self._rendered[name] for name in self._registry.names() if name in self._rendered}
                changed = [_now(each) for each in models if before.get(each.name, (-1, b""))[0] != each.revision]
                self._rendered, self._all = await asyncio.to_thread(_render_all, before, changed)
                self._revision = revision
            return self._all


def summary(version: Version, *, whole: bool) -> VersionBody:
    """A version as JSON; in a model, which is not `whole`, many labels are left out."""
    return _summary(_version_now(version), whole=whole)


def _now(model: Model) -> _ModelNow:
    versions = [_version_now(each) for each in model.versions.values()]
    return _ModelNow(model.name, model.revision, model.default, sorted(versions, key=lambda version: version.number))


def _version_now(version: Version) -> _VersionNow:
    engine = version.engine.choice if version.engine is not None else None
    return _VersionNow(version.number, version.state, version.card, version.error, engine, version.group)


def _render_all(
    before: dict[str, tuple[int, bytes]], changed: Iterable[_ModelNow]
) -> tuple[dict[str, tuple[int, bytes]], bytes]:
    rendered = before | {model.name: (model.revision, _render(model)) for model in changed}
    models = b",".join(rendered[name][1] for name in sorted(rendered))
    return rendered, b'{"object":"list","data":[%b]}' % models


def _render(model: _ModelNow) -> bytes:
    versions = [_summary(version, whole=False) for version in model.versions]
    created = min((each.created_at for each in versions if each.created_at is not None), default=0)
    body = ModelBody(
        name=model.name,
        object="model",
        id=model.name,
        created=int(created),
        owned_by=OWNER,
        default_version=model.default,
        versions=versions,
    )
    return body.model_dump_json().encode()


def _summary(version: _VersionNow, *, whole: bool) -> VersionBody:
    card, group = version.card, version.group
    made = group or card
    labels = list(card.labels) if card and (whole or sum(map(len, card.labels)) <= LISTED_LABELS) else None
    return VersionBody(
        version=version.number,
        state=version.state,
        created_at=made.created_at.timestamp() if made else None,
        parent=card.parent if card else None,
        task=card.task if card else None,
        input=card.input if card else None,
        labels=labels,
        metrics=card.metrics if card and not group else None,
        error=version.error,
        engine=EngineBody(name=version.engine.name, reason=version.engine.reason) if version.engine else None,
        group=GroupBody(members=list(group.members), decision=group.decision) if group else None,
    )
