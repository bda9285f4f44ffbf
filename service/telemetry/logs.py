"""Log lines that carry the id of the request they belong to."""

import logging
import random
from contextvars import ContextVar

_ids = random.Random()
request_id: ContextVar[str] = ContextVar("request_id", default="-")

_FORMAT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"


class RequestIdFilter(logging.Filter):
    """Puts the present request's id on every record; `-` outside a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, with its `request_id`."""
        record.request_id = request_id.get()
        return True


def configure(level: str) -> None:
    """Send every log line from `level` up to standard error, in one format, the server's own included."""
    handler = logging.StreamHandler()
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(logging.Formatter(_FORMAT))
    # What the format does not show is not looked up for each line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def new_id() -> str:
    """128 random bits in hexadecimal: unique, and no secret. Cheaper than a UUID, which asks the system each time."""
    return f"{_ids.getrandbits(128):032x}"
