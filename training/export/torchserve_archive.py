"""A version of the store as a TorchServe archive (`.mar`).

The archive is a zip file with a manifest, in the format of torch-model-archiver 0.12. That tool is not used because it
works in a folder shared by all its users, overwrites in place and records the current time; here the same checkpoint
and options always give the same bytes.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

from contract.card import read_card
from contract.files import replacing
from contract.reference import REFERENCE_FILE
from training.errors import ConfigError

HANDLER = "torchserve_handler.py"
CHECKPOINT, WORKER_CONFIG, MANIFEST = "model.pt", "model-config.yaml", "MAR-INF/MANIFEST.json"
_ARCHIVER_VERSION = "0.12.0"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """How TorchServe runs the model: the fields of `model-config.yaml`.

    `batchSize` is the maximum number of requests in a batch, `maxBatchDelay` the wait for a batch to fill in
    milliseconds. A worker that has not answered for `responseTimeout` seconds is restarted.
    """

    minWorkers: int = 1  # noqa: N815 - TorchServe's names
    maxWorkers: int = 1  # noqa: N815
    batchSize: int = 32  # noqa: N815
    maxBatchDelay: int = 1  # noqa: N815
    responseTimeout: int = 60  # noqa: N815

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ConfigError(f"{name} must be 1 or more, not {value}")


def archive(checkpoint: Path, name: str, version: int, folder: Path, config: WorkerConfig) -> Path:
    """Write `<name>-<version>.mar` into `folder` in one step and return its path.

    It holds the unchanged checkpoint, its reference if it has one, the handler and the worker's configuration. Raises
    `CardError` for a checkpoint without a card, `ConfigError` if the folder cannot be written.
    """
    card = read_card(checkpoint)
    manifest = {
        "createdOn": card.created_at.strftime("%d/%m/%Y %H:%M:%S"),
        "runtime": "python",
        "model": {
            "modelName": name,
            "serializedFile": CHECKPOINT,
            "handler": HANDLER,
            "modelVersion": str(version),
            "configFile": WORKER_CONFIG,
        },
        "archiverVersion": _ARCHIVER_VERSION,
    }
    members = {
        CHECKPOINT: checkpoint.read_bytes(),
        HANDLER: files("service").joinpath(HANDLER).read_bytes(),
        WORKER_CONFIG: "".join(f"{key}: {value}\n" for key, value in asdict(config).items()).encode(),
        MANIFEST: json.dumps(manifest, indent=2).encode(),
    }
    reference = checkpoint.with_name(REFERENCE_FILE)
    if reference.is_file():
        members[REFERENCE_FILE] = reference.read_bytes()
    target = folder / f"{name}-{version}.mar"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            _write_zip(file, members)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from error
    return target


def _write_zip(file: BinaryIO, members: Mapping[str, bytes]) -> None:
    """Write `members` uncompressed, with fixed times and permissions."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
