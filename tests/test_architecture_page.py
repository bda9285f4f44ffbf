"""The picture in docs/architecture.md is the source: every room, every import between rooms, every path."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PICTURE = re.findall(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)[0]
NODE = r"((?:service|training)\.\w+)"
Arrows = set[tuple[str, str]]


def rooms_on_disk(package: str) -> set[str]:
    """Return the sub-packages and modules of a package, as `package.room`."""
    inside = (
        entry for entry in (ROOT / package).iterdir() if entry.suffix == ".py" or (entry / "__init__.py").exists()
    )
    return {f"{package}.{entry.stem}" for entry in inside} - {f"{package}.__init__"}


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def imports_between_rooms(package: str) -> Arrows:
    """Return every import, anywhere in a file, from one room of the package into another."""
    found: Arrows = set()
    for path in (ROOT / package).rglob("*.py"):
        here = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for name in imported(path.read_text()):
            if room_of(name) in rooms_on_disk(package) - {here}:
                found.add((here, room_of(name)))
    return found


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def drawn_arrows(package: str) -> Arrows:
    label = r'(?:\["[^"]*"\])?'
    return {pair for pair in re.findall(rf"{NODE}{label} --> {NODE}", PICTURE) if pair[0].startswith(f"{package}.")}


def implied_by(arrows: Arrows) -> Arrows:
    """Return every pair of rooms that a chain of arrows joins."""
    implied = set(arrows)
    while longer := {(a, d) for a, b in implied for c, d in arrows if b == c} - implied:
        implied |= longer
    return implied


@pytest.mark.parametrize("package", ["service", "training"])
def test_the_picture_shows_every_room_and_no_other(package: str) -> None:
    assert {room for room in re.findall(NODE, PICTURE) if room.startswith(package)} == rooms_on_disk(package)


@pytest.mark.parametrize(("subgraph", "package"), [("contract", "contract"), ("client", "stl_snn_client")])
def test_the_picture_names_everything_in(subgraph: str, package: str) -> None:
    inside = re.findall(rf"subgraph {subgraph}\[.*?^  end$", PICTURE, re.MULTILINE | re.DOTALL)[0]
    names = ", ".join(re.findall(r'^    \w+\["([\w, ]+)', inside, re.MULTILINE)).split(", ")

    assert sorted(f"{package}.{name}" for name in names) == sorted(rooms_on_disk(package))


@pytest.mark.parametrize("package", ["service", "training"])
def test_the_arrows_are_the_imports(package: str) -> None:
    drawn, real = drawn_arrows(package), imports_between_rooms(package)

    assert drawn <= real
    assert real <= implied_by(drawn)


def test_no_arrow_is_drawn_that_others_imply() -> None:
    for package in ("service", "training"):
        drawn = drawn_arrows(package)
        for arrow in drawn:
            assert arrow not in implied_by(drawn - {arrow}), arrow


def test_every_path_on_the_page_exists() -> None:
    named = set(re.findall(r"\b((?:contract|service|stl_snn_client|training|tests)/[\w/]+(?:\.py)?)", PAGE))
    within_the_service = set(re.findall(r"-> ((?:inference|models)/\w+\.py)", PAGE))
    paths = named | {f"service/{path}" for path in within_the_service}

    assert len(paths) > 20
    assert {path for path in paths if not (ROOT / path).exists()} == set()
