"""A version of the store as a TorchServe archive (`.mar`).

Such an archive is a zip with a manifest, in the format of torch-model-archiver 0.12. It is written here, since that
tool works in a folder that all its users share, overwrites in place, and puts the time into its output: here the same
checkpoint and options give the same bytes.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from contract.card import read_card
from training.errors import ConfigError

HANDLER = "torchserve_handler.py"
CHECKPOINT, WORKER_CONFIG, MANIFEST = "model.pt", "model-config.yaml", "MAR-INF/MANIFEST.json"
_ARCHIVER_VERSION = "0.12.0"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """How TorchServe runs the model: the fields of `model-config.yaml`.

    `batchSize` requests run together at most, `maxBatchDelay` milliseconds are waited for them, and a worker that does
    not answer for `responseTimeout` seconds is started again.
    """

    minWorkers: int = 1  # noqa: N815 - TorchServe's names
    maxWorkers: int = 1  # noqa: N815
    batchSize: int = 32  # noqa: N815
    maxBatchDelay: int = 1  # noqa: N815
    responseTimeout: int = 60  # noqa: N815

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ConfigError(f"{name} must be 1 or more, and is {value}")


def archive(checkpoint: Path, name: str, version: int, folder: Path, config: WorkerConfig) -> Path:
    """Write `<name>-<version>.mar` into `folder`, in one step, and return its path.

    It holds the checkpoint unchanged, the handler and the worker's configuration. Raises `CardError` for a checkpoint
    without a card, `ConfigError` where the folder cannot be written.
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
    target = folder / f"{name}-{version}.mar"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(target, members)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from error
    return target


def _write(target: Path, members: Mapping[str, bytes]) -> None:
    """A zip that takes the place of `target` once it is whole and on the disk."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            with zipfile.ZipFile(file, "w") as written:
                for name, data in members.items():
                    info = zipfile.ZipInfo(name, _EPOCH)
                    info.external_attr = 0o644 << 16
                    written.writestr(info, data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
