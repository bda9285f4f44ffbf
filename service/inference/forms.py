"""The files of a form, `multipart/form-data`, each of them one input."""

from collections.abc import Iterator
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import FormParser, parse_options_header

from contract.errors import BadRequest, InvalidParameter, TooManyInputs
from service.inference.decode import File
from service.parsing import unknown_name

_IN_MEMORY = {"MAX_MEMORY_FILE_SIZE": float("inf"), "UPLOAD_ERROR_ON_BAD_CTE": True}


def read_files(content_type: str, data: bytes, max_files: int) -> Iterator[File]:
    """The files, all in parts named `file`; `BadRequest`, `InvalidParameter`, or `TooManyInputs` above `max_files`."""
    files: list[Any] = []

    def add(part: Any) -> None:
        _check_name(part.field_name)
        if len(files) == max_files:
            raise TooManyInputs(f"a request may have at most {max_files} inputs", param="inputs")
        files.append(part)

    def refuse(part: Any) -> None:
        _check_name(part.field_name)
        raise InvalidParameter("the part 'file' must be a file, with a filename", param="file")

    _, options = parse_options_header(content_type)
    is_whole = False

    def end() -> None:
        nonlocal is_whole
        is_whole = True

    try:
        parser = FormParser(
            "multipart/form-data", refuse, add, end, boundary=options.get(b"boundary", b""), config=_IN_MEMORY
        )
        parser.write(data)
        parser.finalize()
    except FormParserError as error:
        raise BadRequest(f"the multipart body cannot be read: {error}") from error
    if not is_whole:
        raise BadRequest("the multipart body ends before its last boundary")
    if not files:
        raise BadRequest("the form has no part named 'file'")
    for part in files:
        part.file_object.seek(0)
        name = part.file_name
        yield File(part.file_object.read(), name=None if name is None else name.decode(errors="replace"))


def _check_name(name: bytes | None) -> None:
    shown = (name or b"").decode(errors="replace")
    if shown != "file":
        raise unknown_name(shown, ["file"], "a part of this form")
