"""`/v1/files`: data sets for fine-tuning."""

from pathlib import Path
from typing import Literal

from stl_snn_client.answers import Deleted, File, Page
from stl_snn_client.call import Call, FileSource, path, query, read_json

UPLOAD_SECONDS = 600.0


def upload(file: FileSource, *, filename: str | None = None, timeout: float = UPLOAD_SECONDS) -> Call[File]:
    """Upload a data set, a `.zip` or `.npz`; all in it is checked. An upload of bytes needs a `filename`."""
    name = filename or (Path(file).name if isinstance(file, str | Path) else getattr(file, "name", None))
    if not isinstance(name, str):
        raise ValueError("say what the file is called: filename='digits.zip'")
    form = {"purpose": "fine-tune"}
    return Call(
        "POST",
        "/v1/files",
        read_json,
        files=[(Path(name).name, file)],
        form=form,
        repeatable=False,
        timeout=timeout,
    )


def list_files(
    *,
    after: str | None = None,
    limit: int | None = None,
    order: Literal["asc", "desc"] | None = None,
    purpose: str | None = None,
) -> Call[Page[File]]:
    """All uploads, newest first; they are fetched page by page, of `limit` each."""
    params = query(after=after, limit=limit, order=order, purpose=purpose)
    return Call("GET", "/v1/files", read_json, params=params)


def get(file_id: str) -> Call[File]:
    """An upload and a summary of its data set."""
    return Call("GET", path("/v1/files/{}", file_id), read_json)


def content(file_id: str) -> Call[bytes]:
    """The file as it was uploaded."""
    return Call("GET", path("/v1/files/{}/content", file_id), bytes)


def delete(file_id: str) -> Call[Deleted]:
    """Delete an upload; a waiting job that needs it will fail."""
    return Call("DELETE", path("/v1/files/{}", file_id), read_json, repeatable=False)
