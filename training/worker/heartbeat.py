"""Small files by which a worker shows that it is alive: one of its own, and one in the folder of the job it runs."""

import asyncio
import json
import logging
import os
import socket
import time
from pathlib import Path
from urllib.parse import quote

from contract.files import replacing
from contract.job_spec import HEARTBEAT_SECONDS, LOST_AFTER_SECONDS
from contract.settings import Settings

WORKERS_FOLDER = "workers"

log = logging.getLogger(__name__)


def worker_id(settings: Settings) -> str:
    """The name by which a worker finds its jobs again."""
    return settings.worker_id or f"{socket.gethostname()}-{settings.device}"


def file_name(name: str) -> str:
    """A worker's or a job's name as part of a path."""
    return quote(name, safe="")


def health_file(settings: Settings) -> Path:
    """Where this worker shows that it is alive."""
    return settings.data_dir.absolute() / WORKERS_FOLDER / f"{file_name(worker_id(settings))}.json"


def beat(path: Path, worker: str) -> None:
    """Say that the worker is alive now, in one step. It tells of the present alone, so a full disk stops nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, durable=False) as file:
            file.write(json.dumps({"worker": worker, "pid": os.getpid(), "at": time.time()}).encode())
    except OSError as error:
        log.warning("%s was not written: %s", path.name, error.strerror)


async def keep_beating(path: Path, worker: str) -> None:
    """Say so again and again, until it is cancelled."""
    while True:
        beat(path, worker)
        await asyncio.sleep(HEARTBEAT_SECONDS)


def is_healthy(settings: Settings) -> bool:
    """Whether this worker has shown itself lately."""
    try:
        at = float(json.loads(health_file(settings).read_bytes())["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return time.time() - at < LOST_AFTER_SECONDS
