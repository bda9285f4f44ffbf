"""A sign of life of a job's process, by which its worker notices that it was stopped."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from contract.job_spec import ALIVE_FILE, ALIVE_SECONDS


def show_life(folder: Path) -> None:
    """Touch `ALIVE_FILE` in the job's folder, which the worker has made, every `ALIVE_SECONDS` from now on."""

    def touch() -> None:
        while True:
            with suppress(OSError):
                os.utime(folder / ALIVE_FILE)
            time.sleep(ALIVE_SECONDS)

    threading.Thread(target=touch, name="sign-of-life", daemon=True).start()
