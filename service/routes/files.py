"""`/v1/files`: uploaded data sets for fine-tuning."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Annotated, Any, BinaryIO, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from contract import errors
from contract.datasets.layout import Limits
from service.http.openapi import form_body
from service.http.pagination import Page, cut_page
from service.http.parameters import RuntimeOf, ticket_of
from service.http.responses import answer, failures
from service.http.upload_form import read_upload
from service.uploads.bodies import FileBody, FileDeleted, FileForm
from service.uploads.storage import Incoming

router = APIRouter(tags=["files"])

MAX_LIMIT = 10_000
MAX_PAGE = 1_000

_FILE = "/v1/files/{file_id}"
_PIECE = 256 * 1024
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class FileList(Page[FileBody]):
    """A page of files."""


FileId = Annotated[str, Path(description="A file's id.")]


@router.post(
    "/v1/files",
    operation_id="create_file",
    summary="Upload a data set",
    response_model=FileBody,
    responses=failures(
        errors.BadRequest,
        errors.TooLarge,
        errors.ArchiveTooLarge,
        errors.UnsupportedMediaType,
        errors.RequestTimeout,
        errors.InvalidDataset,
        errors.Overloaded,
        errors.Unavailable,
        errors.ShuttingDown,
        errors.InsufficientStorage,
    ),
    openapi_extra={"requestBody": form_body(FileForm)},
)
async def create_file(request: Request, runtime: RuntimeOf) -> Response:
    """Upload a `.zip` with one folder per class, or an `.npz` with `x` and `y`; everything in it is checked.

    The upload may take any time, as long as it keeps the minimum speed and some of it arrives within each request
    timeout.
    """
    uploads, checks, client = runtime.uploads, runtime.upload_checks, ticket_of(request).client
    length = request.headers.get("content-length", "")
    await asyncio.to_thread(uploads.check_room, int(length) if length.isdecimal() else 0)
    incoming: Incoming | None = None
    async with AsyncExitStack() as held:

        def begin() -> Callable[[bytes], None]:
            nonlocal incoming
            held.enter_context(checks.upload(client))
            incoming = uploads.receive()
            held.push_async_callback(asyncio.to_thread, incoming.discard)
            return incoming.write

        filename = await read_upload(request, begin)
        assert incoming is not None
        try:
            dataset = await checks.check(incoming.path, filename, Limits.of(runtime.settings), client)
        except (errors.InvalidDataset, errors.ArchiveTooLarge) as error:
            error.param = "file"
            raise
        upload = await asyncio.to_thread(uploads.add, incoming, filename, dataset)
    return answer(FileBody.of(upload))


@router.get(
    "/v1/files",
    operation_id="list_files",
    summary="List files",
    response_model=FileList,
    responses=failures(errors.FileNotFound),
)
async def list_files(
    runtime: RuntimeOf,
    after: Annotated[str | None, Query(description="The last file of the previous page.")] = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description=f"Maximum length of the page; {MAX_PAGE} are the most.")
    ] = MAX_LIMIT,
    order: Annotated[Literal["asc", "desc"], Query(description="By time; `desc`: newest first.")] = "desc",
    purpose: Annotated[str | None, Query(description="Only files of this purpose.")] = None,
) -> Response:
    """A page of uploads, newest first."""
    found = await asyncio.to_thread(runtime.uploads.all)
    found = [upload for upload in found if purpose in (None, upload.purpose)]
    if order == "asc":
        found.reverse()
    unknown = errors.FileNotFound(f"there is no file {after!r} in this list", param="after")
    page, has_more = cut_page(found, after, min(limit, MAX_PAGE), unknown)
    return answer(FileList.of([FileBody.of(upload) for upload in page], has_more=has_more))


@router.get(
    _FILE,
    operation_id="get_file",
    summary="Get a file",
    response_model=FileBody,
    responses=failures(errors.FileNotFound),
)
async def get_file(runtime: RuntimeOf, file_id: FileId) -> Response:
    """An upload and a summary of its data set."""
    return answer(FileBody.of(await asyncio.to_thread(runtime.uploads.get, file_id)))


@router.get(
    f"{_FILE}/content",
    operation_id="get_file_content",
    summary="Get a file's content",
    response_class=Response,
    responses=failures(errors.FileNotFound) | _CONTENT,
)
async def get_file_content(runtime: RuntimeOf, file_id: FileId) -> Response:
    """The content, as uploaded."""
    upload = await asyncio.to_thread(runtime.uploads.get, file_id)
    try:
        file = await asyncio.to_thread(runtime.uploads.content_path(upload).open, "rb")
    except FileNotFoundError:
        raise errors.FileNotFound(f"there is no file {file_id!r}", param="file_id") from None
    headers = {
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(upload.filename, safe='')}",
        "Content-Length": str(upload.bytes),
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(_pieces(file), headers=headers, media_type="application/octet-stream")


@router.delete(
    _FILE,
    operation_id="delete_file",
    summary="Delete a file",
    response_model=FileDeleted,
    responses=failures(errors.FileNotFound, errors.InsufficientStorage),
)
async def delete_file(runtime: RuntimeOf, file_id: FileId) -> Response:
    """Delete an upload, and its content unless another upload has the same. A waiting job that needs it will fail."""
    await asyncio.to_thread(runtime.uploads.delete, file_id)
    return answer(FileDeleted(id=file_id, object="file", deleted=True))


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
