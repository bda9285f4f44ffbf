"""Rules about who uses what, read from the source itself; `make lint` holds the floors of the packages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACT = sorted((ROOT / "contract").rglob("*.py"))
SERVICE = sorted((ROOT / "service").rglob("*.py"))
TRAINING = sorted((ROOT / "training").rglob("*.py"))
ALL = CONTRACT + sorted((ROOT / "event_engine").rglob("*.py")) + SERVICE + TRAINING
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def imports(source: str) -> Iterator[str]:
    """Yield the full name of everything imported anywhere in `source`, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("__import__", "import_module"):
            yield from (str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant))


def is_within(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def users_of(modules: tuple[str, ...]) -> set[str]:
    """Return the files of the packages that import one of `modules` or something in it."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in ALL
        if any(is_within(name, modules) for name in imports(path.read_text()))
    }


def uses(source: str, dotted: str) -> bool:
    """Whether `source` names `dotted`, by the full name or by importing it from its parent."""
    parent, name = dotted.rsplit(".", 1)
    return any(
        (isinstance(node, ast.Attribute) and ast.unparse(node) == dotted)
        or (isinstance(node, ast.ImportFrom) and node.module == parent and any(x.name == name for x in node.names))
        for node in ast.walk(ast.parse(source))
    )


def modules_of_tests(source: str) -> set[str]:
    """Names of test modules and conftest files in `source`: in imports, and in scripts that it holds as text."""
    names = {*imports(source), *re.findall(r"\btests(?:\.\w+)+", source)}
    return {name for name in names if re.match(r"tests\.(\w+\.)*(test_\w+|conftest)(\.|$)", name)}


@pytest.mark.parametrize(
    "source",
    [
        "import training",
        "import training.data as d",
        "from training import data",
        "def f():\n    from training.data import load_dataset",
        "import importlib\nimportlib.import_module('training.data')",
    ],
)
def test_the_walk_sees_every_way_to_import(source: str) -> None:
    assert any(is_within(name, ("training",)) for name in imports(source))


def test_the_walk_is_not_misled_by_similar_names() -> None:
    names = list(imports("import training_tools\nfrom pytorch.training import x\n'import training'"))

    assert not any(is_within(name, ("training",)) for name in names)


@pytest.mark.parametrize(
    "source", ["import torch\ntorch.jit.load(x)", "from torch.jit import load", "f = torch.jit.load"]
)
def test_the_walk_sees_every_way_to_name_a_function(source: str) -> None:
    assert uses(source, "torch.jit.load")


def test_one_file_on_each_side_loads_networks() -> None:
    loaders = {path.relative_to(ROOT).as_posix() for path in ALL if uses(path.read_text(), "torch.jit.load")}

    assert loaders == {"service/engine/torchscript.py", "training/export/checkpoint.py"}


def test_the_jobs_engine_stays_in_one_file_on_each_side() -> None:
    assert users_of(("dbos",)) == {"service/fine_tuning/client.py", "training/worker/engine.py"}


def test_no_module_unpickles_data() -> None:
    assert users_of(("pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")) == set()
    allowing = {path.name for path in ALL if "allow_pickle=True" in path.read_text()}
    assert allowing == set()


def test_copyleft_readers_of_events_and_the_oracles_are_not_used() -> None:
    assert users_of(("tonic", "expelliarmus", "snntorch", "spikingjelly", "neurobench")) == set()


@pytest.mark.parametrize("module", ["service.test_main", "conftest"])
@pytest.mark.parametrize(
    "code", ["import {}", "from {} import x", "SCRIPT = 'from {} import x'", "def f():\n  import {}"]
)
def test_the_walk_sees_test_modules_in_use(code: str, module: str) -> None:
    assert modules_of_tests(code.format(f"tests.{module}"))


def test_the_walk_sees_a_test_module_taken_from_its_package() -> None:
    assert modules_of_tests("from tests.service import test_main")


def test_the_walk_passes_over_helpers() -> None:
    assert not modules_of_tests("from tests.service.process import started")


def test_no_test_module_is_used_by_another() -> None:
    used = {path.relative_to(ROOT).as_posix(): modules_of_tests(path.read_text()) for path in TESTS}

    assert {path: modules for path, modules in used.items() if modules} == {}
