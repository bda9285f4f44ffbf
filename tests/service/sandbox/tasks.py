"""Tasks for a sandbox under test: what strangers make a decoder do."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Buffer

from contract.errors import InvalidImage

Answer = tuple[Any, Sequence[Buffer]]


def echo(head: Any, body: memoryview) -> Answer:
    return {"head": head, "pid": os.getpid()}, [body]


def where_errors_go(head: Any, body: memoryview) -> Answer:
    return [os.readlink("/proc/self/fd/2"), sys.stderr.name], []


def sleep(head: Any, body: memoryview) -> Answer:
    Path(head).write_text(str(os.getpid()))
    time.sleep(600)
    return None, []


def allocate(head: Any, body: memoryview) -> Answer:
    return None, [np.ones(int(head), np.uint8).data]


def refuse(head: Any, body: memoryview) -> Answer:
    raise InvalidImage("not an image", param="inputs[3]")


def fail(head: Any, body: memoryview) -> Answer:
    raise RuntimeError("a secret path")


class Panic(BaseException):
    """What code in Rust raises where it gets no memory."""


def panic(head: Any, body: memoryview) -> Answer:
    raise Panic


def abort(head: Any, body: memoryview) -> Answer:
    os.abort()


def crash(head: Any, body: memoryview) -> Answer:
    os.kill(os.getpid(), signal.SIGSEGV)
    return None, []


TASKS = {each.__name__: each for each in (echo, where_errors_go, sleep, allocate, refuse, fail, panic, abort, crash)}
