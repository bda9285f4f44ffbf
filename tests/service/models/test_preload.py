"""What is loaded at start, over models in every state."""

import pytest

from contract.names import ModelRef
from service.models.preload import Preload
from service.models.version import Model, State, Version


def model(name: str, default: int | None, **states: State) -> Model:
    """`model("a", 1, v1="ready")`."""
    versions = {int(number[1:]): Version(name, int(number[1:]), state) for number, state in states.items()}
    return Model(name, versions, default=default)


MODELS = {
    each.name: each
    for each in (
        model("a", 1, v1="ready", v2="available"),
        model("b", 2, v1="failed", v2="loading"),
        model("c", None, v1="failed"),
    )
}


@pytest.mark.parametrize(
    ("entries", "pending", "missing"),
    [
        ([], [], []),
        (["*"], ["b/2"], []),
        (["a"], [], []),
        (["a/2", "b"], ["a/2", "b/2"], []),
        (["b/1", "c", "c/1"], [], []),
        (["a/3", "d", "d/1"], ["a/3", "d", "d/1"], ["a/3", "d", "d/1"]),
        (["a/2", "*", "b/2", "a/2"], ["b/2", "a/2"], []),
    ],
)
def test_what_is_pending_and_what_is_missing(entries: list[str], pending: list[str], missing: list[str]) -> None:
    preload = Preload.parse(entries)
    assert preload.pending(MODELS) == pending
    assert preload.missing(MODELS) == missing


def test_a_star_includes_defaults_and_not_every_version() -> None:
    everything, some = Preload.parse(["*"]), Preload.parse(["a", "b/2"])
    assert everything.includes(ModelRef("later"))
    assert not everything.includes(ModelRef("a", 1))
    assert [some.includes(ref) for ref in (ModelRef("a"), ModelRef("b", 2))] == [True, True]
    assert [some.includes(ref) for ref in (ModelRef("b"), ModelRef("b", 1), ModelRef("a", 1))] == [False] * 3
