"""The form of an upload, parsed as it arrives: the file goes to disk in pieces and is never in memory as a whole."""

import asyncio
from collections.abc import Callable
from pathlib import PurePosixPath

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from contract.errors import BadRequest, InvalidParameter, UnsupportedMediaType
from service.http.request_body import media_type
from service.parsing import unknown_name

PURPOSE = "fine-tune"

_FORM = "multipart/form-data"
_FIELDS = ("file", "purpose")
_SUBSTANCE = 64 * 1024
_PIECE = 1024 * 1024
_LONGEST_NAME = 200


async def read_upload(request: Request, begin: Callable[[], Callable[[bytes], None]]) -> str:
    """Pass the content of the part `file` to what `begin` returns, in a thread, and return the file's name.

    `begin` is called, on the event loop, once some of the content has arrived: a client that sends next to nothing
    takes no place.

    `UnsupportedMediaType`; `BadRequest` if the body is not a form; `InvalidParameter`, without waiting for the rest of
    the body, if a part is unknown, invalid or duplicated, and at the end if one is missing.
    """
    if media_type(request) != _FORM:
        raise UnsupportedMediaType(f"the Content-Type must be {_FORM}")
    _, options = parse_options_header(request.headers["content-type"])
    form = _Form()
    try:
        parser = MultipartParser(
            options.get(b"boundary", b""),
            {
                "on_part_begin": form.part_begins,
                "on_header_field": form.header_name,
                "on_header_value": form.header_value,
                "on_header_end": form.header_ends,
                "on_headers_finished": form.content_begins,
                "on_part_data": form.content,
                "on_part_end": form.part_ends,
                "on_end": form.ends,
            },
        )
        write = None
        async for piece in request.stream():
            parser.write(piece)
            if write is None and len(form.file) >= _SUBSTANCE:
                write = begin()
            if write is not None and len(form.file) >= _PIECE:
                await asyncio.to_thread(write, form.take())
    except FormParserError as error:
        raise BadRequest(f"the multipart body cannot be read: {error}") from error
    if not form.is_whole:
        raise BadRequest("the multipart body ends before its last boundary")
    for name in _FIELDS:
        if name not in form.seen:
            raise InvalidParameter(f"the form has no part {name!r}", param=name)
    await asyncio.to_thread(write or begin(), form.take())
    return form.filename


class _Form:
    """What the parser has found so far. `file` holds the content that arrived since the last call of `take`."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.filename = ""
        self.file = bytearray()
        self.is_whole = False
        self._name = ""
        self._purpose = bytearray()
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""

    def take(self) -> bytes:
        """Return `file` and clear it."""
        piece = bytes(self.file)
        self.file.clear()
        return piece

    def part_begins(self) -> None:
        self._disposition = b""

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_ends(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def content_begins(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode(errors="replace")
        if name not in _FIELDS:
            raise unknown_name(name, _FIELDS, "a part of this form")
        if name in self.seen:
            raise InvalidParameter(f"the form has two parts {name!r}", param=name)
        if name == "file":
            if b"filename" not in options:
                raise InvalidParameter("the part 'file' must be a file, with a filename", param="file")
            self.filename = _base_name(options[b"filename"].decode(errors="replace"))
        self.seen.add(name)
        self._name = name

    def content(self, data: bytes, start: int, end: int) -> None:
        if self._name == "file":
            self.file += data[start:end]
            return
        self._purpose += data[start:end]
        if len(self._purpose) > len(PURPOSE):
            raise _wrong_purpose()

    def part_ends(self) -> None:
        if self._name == "purpose" and self._purpose != PURPOSE.encode():
            raise _wrong_purpose()

    def ends(self) -> None:
        self.is_whole = True


def _wrong_purpose() -> InvalidParameter:
    return InvalidParameter(f"purpose must be {PURPOSE!r}", param="purpose")


def _base_name(filename: str) -> str:
    """The file's name without folders, which some clients send."""
    name = PurePosixPath(filename.replace("\\", "/")).name
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable() or not name.strip("."):
        raise InvalidParameter(f"the file's name must be 1 to {_LONGEST_NAME} printable characters", param="file")
    return name
