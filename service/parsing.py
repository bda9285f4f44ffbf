"""Strict JSON, request bodies and unknown names: what does not fit becomes one `InvalidParameter`."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import jiter
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.errors import InvalidJson, InvalidParameter, TooLarge


def explain(problems: Sequence[Any]) -> InvalidParameter:
    """The first of pydantic's problems, as an error that names the parameter (`top_k`, `inputs[2]`).

    For a problem inside an input, `param` is the whole input, and the message names the place.
    """
    first = problems[0]
    where = [part for part in first["loc"] if part not in ("query", "path", "header", "body")]
    param = str(where[0]) if where else None
    if len(where) > 1 and isinstance(where[1], int):
        param = f"{param}[{where[1]}]"
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] in ("model_type", "model_attributes_type"):
        message = "must be a JSON object"
    return InvalidParameter(f"{place}: {message}" if place else message, param=param)


def unknown_name(name: str, known: Iterable[str], what: str) -> InvalidParameter:
    """The error for an unknown name; it suggests the closest known one."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    allowed = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}" if known else ""
    return InvalidParameter(f"{name!r} is not {what}{allowed}", param=name)


class Body(BaseModel):
    """A request's JSON: exact types, and no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


B = TypeVar("B", bound=BaseModel)


# As Python objects, these take many times their own bytes; no legitimate body holds so many.
_MAX_IN_JSON = {b"[": ("lists", 1_000_000), b"{": ("objects", 100_000), b'"': ("quotation marks", 200_000)}


def parse_json(data: bytes) -> Any:
    """JSON as Python objects; `InvalidJson` says where it is wrong, `TooLarge` for too many lists, objects or strings.

    Strict: NaN, Infinity, duplicate keys, lone surrogates and deep nesting are rejected.
    """
    for mark, (what, most) in _MAX_IN_JSON.items():
        if data.count(mark) > most:
            raise TooLarge(f"the JSON has more than {most} {what}")
    try:
        return jiter.from_json(data, allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys")
    except ValueError as error:
        raise InvalidJson(f"the body is not JSON: {error}") from error


def validate_body(value: Any, body: type[B]) -> B:
    """`value` as a `body`; `InvalidParameter` names the first invalid field."""
    try:
        return body.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        if problems[0]["loc"][:1] == ("inputs",):  # drop the kind of the input, which is not in the caller's JSON
            problems[0]["loc"] = problems[0]["loc"][:2] + problems[0]["loc"][3:]
        raise explain(problems) from error
