"""Readiness, probed along the path of a real request."""

import asyncio
import logging
from time import monotonic

from contract.errors import ShuttingDown, Unavailable
from service.inference.batcher import Batcher
from service.inference.pending import Result
from service.models.registry import Registry
from service.models.version import Loaded

log = logging.getLogger(__name__)


class Readiness:
    """Whether requests should come here.

    They should if the models to load at start are loaded or have failed, the service is not shutting down, and the
    device works: it ran a batch in the last `seconds`, or a blank sample passes through the queue and the device in
    that time.
    """

    def __init__(self, registry: Registry, batcher: Batcher, *, seconds: float) -> None:
        self.shutting_down = False
        self._registry = registry
        self._batcher = batcher
        self._seconds = seconds
        self._probe: asyncio.Task[Result] | None = None

    async def check(self) -> None:
        """Return if the service is ready; otherwise `Unavailable` or `ShuttingDown`, within the `seconds`."""
        if self.shutting_down:
            raise ShuttingDown("the service is shutting down")
        if not self._registry.ready:
            raise Unavailable(self._missing())
        await self.check_device()

    async def check_device(self) -> None:
        """Return if the device works; otherwise `Unavailable`, within the `seconds`."""
        if monotonic() - self._batcher.last_run > self._seconds and (model := self._any_loaded()):
            await self._try(model)

    def _missing(self) -> str:
        missing = self._registry.missing
        loading = [entry for entry in self._registry.pending if entry not in missing]
        parts = [f"still loading: {', '.join(loading)}"] if loading else []
        parts += [f"not in the model store: {', '.join(missing)}"] if missing else []
        parts += [self._registry.trouble] if self._registry.trouble else []
        return "; ".join(parts)

    async def _try(self, model: Loaded) -> None:
        """Run one blank sample, the same one for all callers, so that the queue of a stuck device does not grow."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._batcher.run_blank(model))
        await asyncio.wait([self._probe], timeout=self._seconds)
        if not self._probe.done():
            raise Unavailable(f"the device has completed nothing for {self._seconds:g} s")
        if (error := self._probe.exception()) is not None:
            log.error("the blank sample failed on %s: %s", model.version.label, error)
            raise Unavailable("a blank sample failed on the device") from error

    def _any_loaded(self) -> Loaded | None:
        """A default version that is in memory."""
        for name in self._registry.names():
            if number := self._registry.default(name):
                version = self._registry.version(name, number)
                if version.engine is not None:
                    return Loaded(version, version.engine)
        return None
