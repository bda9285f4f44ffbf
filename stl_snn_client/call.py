"""`Call`: one request as data, and how its response is read. Both clients send the same calls."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar
from urllib.parse import quote

from stl_snn_client.answers import Page

T = TypeVar("T")

Query = str | int | float | bool | Sequence[str | int | float] | None
FileSource = str | Path | bytes | BinaryIO
"""A file: its path, its content, or an open binary file."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request: `repeatable` if sending it twice does what sending it once does.

    `content` is a body of bytes. `files` are the parts of a form, each a name and a file, in which paths are opened
    when the request is sent. `timeout` is in seconds; without one the client's counts.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    files: Sequence[tuple[str, FileSource]] = ()
    form: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    timeout: float | None = None

    @contextmanager
    def body(self) -> Iterator[dict[str, Any]]:
        """The body as httpx takes it, with its files open meanwhile."""
        if not self.files:
            yield {"content": self.content}
            return
        with ExitStack() as held:
            parts = [("file", (name, _opened(file, held))) for name, file in self.files]
            yield {"files": parts, "data": dict(self.form)}


def read_json(body: bytes) -> Any:
    """The answer of a JSON body, as it was sent: fields that this package does not know are kept."""
    return json.loads(body)


def json_body(value: Any) -> tuple[bytes, dict[str, str]]:
    """A JSON body, and the header that says so."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode(), {"Content-Type": "application/json"}


def query(**values: Query) -> dict[str, str]:
    """Query parameters as text: without those that are None, booleans in lower case, sequences with commas."""
    return {name: _text(value) for name, value in values.items() if value is not None}


def path(template: str, *parts: str | int) -> str:
    """A path with these parts, each quoted, in place of `{}`."""
    return template.format(*(quote(str(part), safe="") for part in parts))


def page_after(call: Call[Page[T]], page: Page[T]) -> Call[Page[T]] | None:
    """The call for the page after this one, None after the last."""
    if not page["has_more"] or page["last_id"] is None:
        return None
    return replace(call, params={**call.params, "after": page["last_id"]})


def _text(value: Query) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    return ",".join(map(str, value or ()))


def _opened(file: FileSource, held: ExitStack) -> bytes | BinaryIO:
    return held.enter_context(Path(file).open("rb")) if isinstance(file, str | Path) else file
