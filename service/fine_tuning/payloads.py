"""The texts in a job's row, read as JSON and as nothing else.

The jobs engine would unpickle a text whose row says that it is pickled, and so run whatever code it holds. Therefore
the service reads the texts itself. A text that is not the expected JSON counts as missing.
"""

import json
from typing import Any

from contract.errors import Failure
from contract.job_spec import JobSpec

_JSON = (None, "portable_json")  # serializations of the jobs engine that are JSON

LEFT_OUT = {"labels", "requested"}  # of a summary: the parts of a specification that can be large


def specification(inputs: object, serialization: object) -> Any:
    """The only argument of the workflow, which is a `JobSpec` as JSON; None where it cannot be read."""
    arguments = _json(inputs, serialization)
    positional = arguments.get("positionalArgs") if isinstance(arguments, dict) else None
    return positional[0] if isinstance(positional, list) and positional else None


def failure(error: object, serialization: object) -> Failure | None:
    """What the worker gave as the failure; None for any other error."""
    given = _json(error, serialization)
    if not isinstance(given, dict):
        return None
    code, message, data = given.get("code"), given.get("message"), given.get("data")
    if not isinstance(code, str) or not isinstance(message, str):
        return None
    param = data.get("param") if isinstance(data, dict) else None
    return Failure(code, message, param if isinstance(param, str) else None)


def summary_of(spec: JobSpec) -> dict[str, Any]:
    """What lists show of a specification, and filters look at: all but `LEFT_OUT`, and the number of labels."""
    return {
        "spec": _without_nul(spec.model_dump(mode="json", exclude=LEFT_OUT)),
        "label_count": None if spec.labels is None else len(spec.labels),
    }


def summary(text: object) -> tuple[Any, int | None]:
    """The specification and the number of labels in a summary; None for what cannot be read."""
    given = _json(text, None)
    if not isinstance(given, dict):
        return None, None
    count = given.get("label_count")
    return given.get("spec"), count if isinstance(count, int) else None


def _json(text: object, serialization: object) -> Any:
    if serialization not in _JSON or not isinstance(text, str):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _without_nul(value: Any) -> Any:
    """The same JSON without NUL characters, which Postgres's JSON cannot hold."""
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(inside) for name, inside in value.items()}
    if isinstance(value, list):
        return [_without_nul(each) for each in value]
    return value.replace("\0", "") if isinstance(value, str) else value
