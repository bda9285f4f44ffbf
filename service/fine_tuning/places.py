"""Places in the queue, computed once for all who ask within a moment."""

import threading
from collections.abc import Mapping
from time import monotonic

from service.fine_tuning.queries import JobQueries

FRESH_SECONDS = 0.5


class Places:
    """The place of each waiting job, from 1: at most `FRESH_SECONDS` old, and never from before the last `forget`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: Mapping[str, int] = {}
        self._until = 0.0
        self._changes = 0
        self._changes_seen = 0

    def read(self, queries: JobQueries) -> Mapping[str, int]:
        """The places by the ids of the jobs. Blocks on the database."""
        with self._lock:
            if monotonic() > self._until or self._changes != self._changes_seen:
                self._changes_seen = self._changes  # before the query, which may miss a change that comes meanwhile
                self._known = queries.places()
                self._until = monotonic() + FRESH_SECONDS
            return self._known

    def forget(self) -> None:
        """The queue has changed: the next reading looks at it again."""
        self._changes += 1
