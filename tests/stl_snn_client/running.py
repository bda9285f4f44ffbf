"""A running service in a thread of this process, so that clients that wait can use it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contract.settings import Settings
from service.app import create_app
from service.http.connections import Limits
from service.runtime import Runtime
from tests.service.app import until
from tests.service.http.talk import port_of, serving


class Service:
    """A service in a thread, which runs until `stop`."""

    url: str
    runtime: Runtime

    def __init__(self, settings: Settings, **options: Any) -> None:
        self._settings = settings
        self._options = options
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Return once the models are loaded."""
        self._thread.start()
        assert self._started.wait(60)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop it."""
        self.loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(60)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            self._started.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        app = create_app(self._settings)
        async with app.router.lifespan_context(app), serving(app, Limits(), **self._options) as server:
            self.runtime = app.state.runtime
            await until(lambda: self.runtime.registry.ready)
            self.url = f"http://127.0.0.1:{port_of(server)}"
            self._started.set()
            await self._stopping.wait()


@contextmanager
def service_at(store: Path, data_dir: Path, **fields: Any) -> Iterator[Service]:
    """A service over a store."""
    options: dict[str, Any] = {"ws": "service.http.websocket:BoundedWebSocket", "ws_per_message_deflate": False}
    settings = Settings(model_store=store, data_dir=data_dir, device="cpu", poll_seconds=0.2, **fields)
    service = Service(settings, **options)
    service.start()
    try:
        yield service
    finally:
        service.stop()
