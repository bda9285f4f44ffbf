"""Whether the service can answer, found out on the way that a request takes."""

import asyncio
import logging
from time import monotonic

from contract.errors import ShuttingDown, Unavailable
from service.engine.interface import Engine, blank_sample
from service.inference.batcher import Batcher
from service.inference.pending import Result
from service.models.registry import Registry

log = logging.getLogger(__name__)


class Readiness:
    """Says whether requests should come here.

    They should when the models that are loaded at start are there, nobody has told the service to leave, and the
    device works: a batch has run in the last `seconds`, or one blank sample takes no longer through queue and device.
    """

    def __init__(self, registry: Registry, batcher: Batcher, *, seconds: float) -> None:
        self.leaving = False
        self._registry = registry
        self._batcher = batcher
        self._seconds = seconds
        self._canary: asyncio.Task[Result] | None = None

    async def check(self) -> None:
        """Return if the service can answer; `Unavailable` or `ShuttingDown` if not, within the `seconds`."""
        if self.leaving:
            raise ShuttingDown("the service is shutting down")
        if not self._registry.ready:
            raise Unavailable(self._what_is_missing())
        if monotonic() - self._batcher.last_run > self._seconds and (engine := self._any_engine()):
            await self._try(engine)

    def _what_is_missing(self) -> str:
        missing = self._registry.missing
        loading = [entry for entry in self._registry.pending if entry not in missing]
        told = [f"still loading: {', '.join(loading)}"] if loading else []
        told += [f"not in the model store: {', '.join(missing)}"] if missing else []
        return "; ".join(told) or "the model store is not there"

    async def _try(self, engine: Engine) -> None:
        """Run one blank sample. Whoever asks meanwhile waits for the same one, so that a stuck queue does not grow."""
        if self._canary is None or self._canary.done():
            self._canary = asyncio.create_task(self._batcher.submit(engine, [blank_sample(engine.card)]))
        await asyncio.wait([self._canary], timeout=self._seconds)
        if not self._canary.done():
            raise Unavailable(f"the device has answered nothing for {self._seconds:g} s")
        if (error := self._canary.exception()) is not None:
            log.error("the trial of %s failed: %s", engine.card.name, error)
            raise Unavailable("a trial of the network failed") from error

    def _any_engine(self) -> Engine | None:
        """A default model that is loaded."""
        for name in self._registry.names():
            number = self._registry.default(name)
            engine = self._registry.version(name, number).engine if number else None
            if engine is not None:
                return engine
        return None
