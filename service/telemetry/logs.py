"""Log lines with the id of their request."""

import logging
import random
from contextvars import ContextVar

_ids = random.Random()
request_id: ContextVar[str] = ContextVar("request_id", default="-")

_FORMAT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"


class RequestIdFilter(logging.Filter):
    """Adds the current request's id to every record; `-` outside a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass every record, with its `request_id`."""
        record.request_id = request_id.get()
        return True


def configure(level: str) -> None:
    """Write all log lines of at least `level`, including the server's, to standard error in one format."""
    handler = logging.StreamHandler()
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(logging.Formatter(_FORMAT))
    # The format does not show these, so they need not be looked up for each line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def new_id() -> str:
    """128 random bits in hexadecimal: unique, but not secret. Cheaper than a UUID, which needs a system call."""
    return f"{_ids.getrandbits(128):032x}"
