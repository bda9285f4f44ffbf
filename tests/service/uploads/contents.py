"""Uploads whose content does not matter."""

from pathlib import Path

from contract.datasets.inspect import Summary
from service.uploads.storage import Upload, Uploads

DATASET = Summary(kind="image", samples=4, classes={"a": 2, "b": 2})


def uploads_in(folder: Path, max_bytes: int = 2**30) -> Uploads:
    return Uploads(folder, max_bytes)


def put(uploads: Uploads, content: bytes = b"content", filename: str = "set.zip", dataset: Summary = DATASET) -> Upload:
    incoming = uploads.receive()
    try:
        incoming.write(content)
        return uploads.add(incoming, filename, dataset)
    finally:
        incoming.discard()
