"""Uploaded data sets on disk: each content once, at `files/<sha256>`, and one `uploads/<id>.json` per upload.

A content is written before the first upload that names it and removed after the last one. Both are written under a
hidden name and renamed, so that a process killed at any point leaves only files that `sweep` removes. Several processes
may share the folder: writers take turns under a file lock.
"""

import errno
import fcntl
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Literal, Self

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from contract.card import MAX_LABELS
from contract.datasets.inspect import Summary
from contract.errors import DISK_FULL_ERRNOS, FileNotFound, InsufficientStorage, ServiceError
from contract.files import replacing, sync
from contract.job_spec import FILES_FOLDER, LOCKS_FOLDER
from service.uploads.quota import Quota

UPLOADS_FOLDER = "uploads"
MAX_FILES = 10_000
SUMMARY_CLASSES = 10

_INCOMING = ".incoming-"
_LOCK_TIMEOUT_S = 10.0

log = logging.getLogger(__name__)


class Upload(BaseModel):
    """One upload; `created_at` in Unix seconds, `bytes` and `sha256` of the file as it was received.

    `class_count` is the number of classes, of which the data set of a summary has only the first.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    created_at: float
    filename: str
    purpose: Literal["fine-tune"] = "fine-tune"
    bytes: int
    sha256: str
    dataset: Summary
    class_count: PositiveInt = Field(default_factory=lambda given: len(given["dataset"].classes), exclude=True)

    def summary(self) -> Self:
        """The upload with the first `SUMMARY_CLASSES` classes of its data set."""
        classes = dict(islice(self.dataset.classes.items(), SUMMARY_CLASSES))
        return self.model_copy(update={"dataset": self.dataset.model_copy(update={"classes": classes})})


class Incoming:
    """A file that is being received. `discard` removes it unless it was added; `path` can be read until then."""

    def __init__(self, folder: Path, quota: Quota) -> None:
        self.size = 0
        self._quota = quota
        self._hash = hashlib.sha256()
        with _as_upload_error():
            folder.mkdir(parents=True, exist_ok=True)
            while True:
                self.path = folder / f"{_INCOMING}{secrets.token_hex(12)}"
                self._file = self.path.open("xb", buffering=0)
                fcntl.flock(self._file, fcntl.LOCK_EX)  # `sweep` removes files that nobody has locked
                if os.fstat(self._file.fileno()).st_nlink:
                    return
                self._file.close()

    @property
    def sha256(self) -> str:
        """The digest of the bytes written so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append `data`; `InsufficientStorage` if the disk is full, or the uploads take all the space they may."""
        self._quota.take(len(data))
        with _as_upload_error():
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._hash.update(data)
        self.size += len(data)

    def sync(self) -> None:
        """Wait until it is on the disk."""
        with _as_upload_error():
            os.fsync(self._file.fileno())

    def discard(self) -> None:
        """Remove it, unless it was added."""
        self.path.unlink(missing_ok=True)
        self._file.close()


class Uploads:
    """The uploads in `data_dir`, of `max_bytes` together. Every method blocks on the disk; call them off the loop."""

    def __init__(self, data_dir: Path, max_bytes: int) -> None:
        self._files = data_dir / FILES_FOLDER
        self._uploads = data_dir / UPLOADS_FOLDER
        self._locks = data_dir / LOCKS_FOLDER
        self._known: dict[str, Upload] = {}
        self._quota = Quota(self._files, max_bytes)

    def check_room(self, size: int) -> None:
        """`InsufficientStorage` if a file of `size` bytes would exceed the space for uploads, or their number."""
        if len(self._ids()) >= MAX_FILES:
            raise InsufficientStorage(f"{MAX_FILES} files are stored; delete those that are no longer needed")
        self._quota.check(size)

    def receive(self) -> Incoming:
        """Start to receive a file. This is quick enough to be called on the event loop."""
        return Incoming(self._files, self._quota)

    def add(self, incoming: Incoming, filename: str, dataset: Summary) -> Upload:
        """Keep a received file; if that fails, nothing is left behind. Raises `InsufficientStorage`."""
        upload = Upload(
            id=f"file-{secrets.token_hex(12)}",
            created_at=time.time(),
            filename=filename,
            bytes=incoming.size,
            sha256=incoming.sha256,
            dataset=dataset,
        )
        incoming.sync()
        with self._writing():
            try:
                incoming.path.replace(self._files / upload.sha256)
                sync(self._files)
                self._write(upload)
            except BaseException:
                self._drop_unused(upload.sha256)
                raise
        return upload

    def all(self) -> list[Upload]:
        """Summaries of all uploads, newest first."""
        found = [self._summary(identity) for identity in self._ids()]
        return sorted((x for x in found if x is not None), key=lambda x: (x.created_at, x.id), reverse=True)

    def get(self, identity: str) -> Upload:
        """One upload; `FileNotFound`. Of one with more than `MAX_LABELS` classes, as old releases took, a summary."""
        if identity in self._ids():
            upload = self._summary(identity)
            if upload is not None and SUMMARY_CLASSES < upload.class_count <= MAX_LABELS:
                upload = self._read(identity)
            if upload is not None:
                return upload
        raise FileNotFound(f"there is no file {identity!r}", param="file_id")

    def content_path(self, upload: Upload) -> Path:
        """The file with the upload's content."""
        return self._files / upload.sha256

    def delete(self, identity: str) -> None:
        """Remove an upload, and its content unless another upload has the same; `FileNotFound`."""
        upload = self.get(identity)
        with self._writing():
            try:
                (self._uploads / f"{identity}.json").unlink()
            except FileNotFoundError:
                raise FileNotFound(f"there is no file {identity!r}", param="file_id") from None
            sync(self._uploads)
            self._known.pop(identity, None)
            self._drop_unused(upload.sha256)

    def sweep(self) -> None:
        """Remove what killed processes left behind: unfinished files, and contents that no upload names.

        A failure is only logged, because nothing depends on it.
        """
        if not self._files.is_dir():
            return
        try:
            self._sweep()
        except ServiceError as error:
            log.warning("leftovers of uploads were not removed: %s", error.message)

    def _sweep(self) -> None:
        with self._writing():
            for path in [*self._files.glob(f"{_INCOMING}*"), *self._uploads.glob(".*")]:
                _remove_unheld(path)
            uploads = [self._summary(identity) for identity in self._ids()]
            used = {upload.sha256 for upload in uploads if upload is not None}
            if None in uploads:  # a damaged one may name any content
                return
            for path in self._files.iterdir():
                if not path.name.startswith(".") and path.name not in used:
                    log.warning("removing content %s, which belongs to no upload", path.name)
                    path.unlink(missing_ok=True)

    def _ids(self) -> set[str]:
        try:
            return {path.stem for path in self._uploads.iterdir() if path.suffix == ".json" and path.name[0] != "."}
        except FileNotFoundError:
            return set()

    def _read(self, identity: str) -> Upload | None:
        """An upload; None if it is gone or damaged."""
        try:
            return Upload.model_validate_json((self._uploads / f"{identity}.json").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            log.warning("upload %s cannot be read", identity)
            return None

    def _summary(self, identity: str) -> Upload | None:
        """The summary of an upload, which never changes once it exists; None if it is gone or damaged."""
        if identity not in self._known:
            upload = self._read(identity)
            if upload is None:
                return None
            self._known[identity] = upload.summary()
        return self._known[identity]

    def _write(self, upload: Upload) -> None:
        self._uploads.mkdir(exist_ok=True)
        path = self._uploads / f"{upload.id}.json"
        try:
            with replacing(path) as file:
                file.write(upload.model_dump_json().encode() + b"\n")
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _drop_unused(self, sha256: str) -> None:
        """Remove a content that no upload names."""
        uploads = [self._summary(identity) for identity in self._ids()]
        if all(upload is not None and upload.sha256 != sha256 for upload in uploads):
            (self._files / sha256).unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with _as_upload_error():
            self._locks.mkdir(parents=True, exist_ok=True)
            with FileLock(self._locks / "uploads.lock", timeout=_LOCK_TIMEOUT_S):
                yield


@contextmanager
def _as_upload_error() -> Iterator[None]:
    try:
        yield
    except Timeout as error:
        raise ServiceError(f"another process has held the uploads for {_LOCK_TIMEOUT_S:.0f} s") from error
    except OSError as error:
        if error.errno in (*DISK_FULL_ERRNOS, errno.EFBIG):
            raise InsufficientStorage("the service's disk is full") from error
        raise ServiceError(f"the uploads cannot be read or written: {error.strerror}") from error


def _remove_unheld(path: Path) -> None:
    with suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
