"""One process of the sandbox: it takes a task, answers it, and takes the next, until its service has gone."""

import ctypes
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from typing_extensions import Buffer

from contract.errors import ServiceError
from service.sandbox.message import receive, send

Task = Callable[[Any, memoryview], tuple[Any, Sequence[Buffer]]]

_NICENESS = 5
_PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


def serve(connection: socket.socket, tasks: Mapping[str, Task], max_bytes: int) -> None:
    """Run the tasks that arrive at `connection`, one after the other.

    Beyond what it uses at its start the process may allocate as many bytes as the head says, its body included. A task
    that needs more fails alone. An answer may have `max_bytes`. The process leaves when the other end of `connection`
    is closed, and is killed with the process that forked it.
    """
    _become_harmless(max_bytes)
    _become_quiet()
    used = _address_space()
    while (message := receive(connection)) is not None:
        head, body = message
        try:
            with _memory_limit(used + head["memory_bytes"]):
                answer, parts = tasks[head["task"]](head["head"], body)
            send(connection, {"answer": answer}, parts)
        except ServiceError as error:
            send(connection, {"failure": asdict(error.failure)})
        except MemoryError:
            send(connection, {"failure": None})
        except Exception:
            log.exception("task %s failed", head["task"])
            send(connection, {"failure": asdict(ServiceError("the service failed on this input").failure)})
        except BaseException:  # code in Rust panics where it gets no memory
            send(connection, {"failure": None})
        del message, head, body


def _become_harmless(max_bytes: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the service, which leaves in order
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))


def _become_quiet() -> None:
    """Keep the error output for the log: libraries also write to it what strangers make them say."""
    logging.basicConfig(
        stream=os.fdopen(os.dup(2), "w"), format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    os.dup2(sys.stderr.fileno(), 2)


@contextmanager
def _memory_limit(limit: int) -> Iterator[None]:
    """Limit the address space, until the block ends."""
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, unlimited[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, unlimited)


def _address_space() -> int:
    """Bytes of address space in use."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
