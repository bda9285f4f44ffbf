"""Log lines with the id of their request, and of the trace that it belongs to."""

import json
import logging
import random
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

LogFormat = Literal["text", "json"]

_ids = random.Random()
request_id: ContextVar[str] = ContextVar("request_id", default="-")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")

_FORMAT = "%(asctime)s %(levelname)s %(name)s [%(ids)s] %(message)s"


class RequestIdFilter(logging.Filter):
    """Adds the ids of the current request and its trace to every record; `-` and nothing outside a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass every record, with its `request_id`, its `trace_id` and both as `ids`."""
        request, trace = request_id.get(), trace_id.get()
        record.request_id = request
        record.trace_id = trace
        record.ids = f"{request} {trace}" if trace else request
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, ids and message; `trace_id` and `exception` only where there is one."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", "-"),
            "trace_id": getattr(record, "trace_id", ""),
            "message": record.getMessage(),
            "exception": self.formatException(record.exc_info) if record.exc_info else "",
        }
        return json.dumps({name: value for name, value in fields.items() if value or name == "message"})


def configure(level: str, form: LogFormat = "text") -> None:
    """Write all log lines of at least `level`, including the server's, to standard error in one format."""
    handler = logging.StreamHandler()
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(_FORMAT))
    # The format does not show these, so they need not be looked up for each line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def new_id() -> str:
    """128 random bits in hexadecimal: unique, but not secret. Cheaper than a UUID, which needs a system call."""
    return f"{_ids.getrandbits(128):032x}"
