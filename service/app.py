"""The web application: the runtime, the entrance, the routes and the error handlers."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.cores import threads_for
from contract.errors import ServiceError
from contract.settings import Settings
from service.http.cors import with_cors
from service.http.direct_route import direct_routes
from service.http.documents import add_documents
from service.http.entrance.authentication import Authentication
from service.http.entrance.body_limit import BodyLimit
from service.http.entrance.entrance import Entrance
from service.http.entrance.origin import OriginCheck
from service.http.failures import (
    answer_exception,
    answer_http_exception,
    answer_service_error,
    answer_validation_error,
)
from service.http.openapi import build_openapi
from service.http.parameters import refuse_unknown_query
from service.routes import files, fine_tuning, health, history, metrics, models, page, predict, stream, v2, v2_models
from service.runtime import Runtime, build_runtime

if TYPE_CHECKING:
    from service.rpc.server import RpcServer

ROUTES = (predict, stream, models, history, files, fine_tuning, v2, v2_models, health, metrics)

_DESCRIPTION = """
Runs spiking neural networks on images and event recordings. Every response counts spikes and synaptic operations, with
an estimate of their energy. All errors have the same body, with a stable `code`.
"""

log = logging.getLogger(__name__)


class Application(FastAPI):
    """FastAPI behind an `Entrance`, which every request passes first."""

    entrance: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self.entrance(scope, receive, send)


def create_app(settings: Settings) -> FastAPI:
    """Build the application. Its lifespan starts the runtime, which is then at `app.state.runtime`."""
    app = Application(
        title="stl-snn",
        version=_version(),
        summary="Spiking neural networks over HTTP",
        description=_DESCRIPTION.strip(),
        lifespan=partial(_lifespan, settings),
        redirect_slashes=False,
        openapi_url=None,  # `add_documents` serves it, `add_page` shows it
        exception_handlers={
            ServiceError: answer_service_error,
            HTTPException: answer_http_exception,
            RequestValidationError: answer_validation_error,
            Exception: answer_exception,
        },
    )
    for route in ROUTES:
        app.include_router(route.router, dependencies=[Depends(refuse_unknown_query)])
    hosts = settings.hosts()
    entrance = Entrance(
        app,
        super(Application, app).__call__,
        direct_routes(app.routes),
        origin=None if "*" in hosts else OriginCheck(hosts, settings.cors_origins),
        authentication=Authentication(settings.keys(), page.OPEN_PATHS),
        body_limit=BodyLimit(settings.max_body_bytes, settings.max_upload_bytes),
        sockets=stream.SOCKETS,
    )
    app.entrance = with_cors(entrance, settings.cors_origins)

    def openapi() -> dict[str, Any]:
        app.openapi_schema = app.openapi_schema or build_openapi(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    add_documents(app)
    page.add_page(app, console=settings.console == "on")
    return app


@asynccontextmanager
async def _lifespan(settings: Settings, app: FastAPI) -> AsyncIterator[None]:
    runtime = build_runtime(settings)
    await runtime.start()
    app.state.runtime = runtime
    announcement = asyncio.create_task(_announce_when_ready(runtime))
    calls = None
    try:
        calls = await _start_calls(runtime, app.version)
        yield
    finally:
        if calls is not None:
            await calls.stop()
        announcement.cancel()
        with suppress(asyncio.CancelledError):
            await announcement
        app.state.device_is_stuck = not await runtime.stop()


async def _start_calls(runtime: Runtime, version: str) -> "RpcServer | None":
    """The server of gRPC, if it has a port; its packages are imported for it alone."""
    port = runtime.settings.grpc_port
    if port is None:
        return None
    from service.rpc.server import RpcServer

    calls = RpcServer(runtime, Authentication(runtime.settings.keys()), version, port)
    await calls.start()
    return calls


async def _announce_when_ready(runtime: Runtime) -> None:
    """Log the loaded models and their device once the service is ready."""
    log.info("device %s, %d thread(s) an operation", runtime.device, threads_for(runtime.settings.threads))
    while not runtime.registry.ready:
        await asyncio.sleep(0.1)
    registry = runtime.registry
    versions = [version for name in registry.names() for version in registry.versions(name)]
    loaded = [version.label for version in versions if version.state == "ready"]
    log.info("ready; loaded: %s", ", ".join(loaded) or "nothing")
    if runtime.settings.console == "on" and runtime.settings.port:
        host = "127.0.0.1" if runtime.settings.host == "0.0.0.0" else runtime.settings.host
        log.info(
            "open http://%s:%d/ in a browser to see it at work",
            f"[{host}]" if ":" in host else host,
            runtime.settings.port,
        )


def _version() -> str:
    try:
        return version("stl-snn")
    except PackageNotFoundError:
        return "0+unknown"
