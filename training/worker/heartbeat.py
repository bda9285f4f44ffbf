"""Files that show that a worker is alive: one of its own, and one in the folder of the job that it runs."""

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
    """The name by which a restarted worker finds its jobs."""
    return settings.worker_id or f"{socket.gethostname()}-{settings.device}"


def file_name(name: str) -> str:
    """A worker's or job's name as a file name."""
    return quote(name, safe="")


def health_file(settings: Settings) -> Path:
    """This worker's own heartbeat file."""
    return settings.data_dir.absolute() / WORKERS_FOLDER / f"{file_name(worker_id(settings))}.json"


def beat(path: Path, worker: str) -> None:
    """Write a heartbeat. It describes only the present moment, so a failure, such as a full disk, is only logged."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, durable=False) as file:
            file.write(json.dumps({"worker": worker, "pid": os.getpid(), "at": time.time()}).encode())
    except OSError as error:
        log.warning("%s was not written: %s", path.name, error.strerror)


async def keep_beating(path: Path, worker: str) -> None:
    """Write a heartbeat every `HEARTBEAT_SECONDS`, until cancelled."""
    while True:
        beat(path, worker)
        await asyncio.sleep(HEARTBEAT_SECONDS)


def is_healthy(settings: Settings) -> bool:
    """Whether this worker has written a heartbeat recently."""
    try:
        at = float(json.loads(health_file(settings).read_bytes())["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return time.time() - at < LOST_AFTER_SECONDS
