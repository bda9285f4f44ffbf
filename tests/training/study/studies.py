"""A tiny study of digits, and a way to run it in this process."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from training.study.plan import Study

TINY: dict[str, Any] = {
    "name": "tiny",
    "title": "A tiny study",
    "questions": ["Does it run?"],
    "seeds": [0, 1],
    "baseline": "sl",
    "base": {
        "dataset": "digits",
        "network": "4C3-MP2-VOTE2",
        "train_samples": 300,
        "validation_fraction": 0.2,
        "epochs": 2,
        "batch_size": 20,
        "learning_rate": 5e-3,
        "norm": "none",
    },
    "search": {"seed": 9, "overrides": {"epochs": 1}},
    "noise": {"samples": 50, "levels": {"gaussian": [0.3], "weights": [0.5]}},
    "arms": [
        {"name": "sl", "label": "SL", "overrides": {"mode": "sl"}, "search": {"threshold": [0.3, 40.0]}},
        {"name": "stl", "label": "STL", "overrides": {"mode": "stl", "threshold": 0.3}},
    ],
}


def tiny_study(**fields: Any) -> Study:
    return Study.model_validate(TINY | fields)


class Inline(Executor):
    """Runs each task at once, in this process."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def inline(count: int) -> Iterator[Inline]:
    yield Inline()


def toml_of(fields: dict[str, Any]) -> str:
    """The text of a study file."""

    def value(given: Any) -> str:
        if isinstance(given, dict):
            return "{" + ", ".join(f'"{key}" = {value(each)}' for key, each in given.items()) + "}"
        if isinstance(given, list):
            return "[" + ", ".join(map(value, given)) + "]"
        return f'"{given}"' if isinstance(given, str) else repr(given)

    return "\n".join(f"{key} = {value(each)}" for key, each in fields.items())
