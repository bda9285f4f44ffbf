"""Start the service (`python -m service`), or print its HTTP interface (`python -m service openapi`)."""

import argparse
import logging
import os
import signal
import sys
from contextlib import suppress

import uvicorn

from contract.errors import ServiceError
from contract.settings import InvalidSettings, Settings, load
from contract.settings_help import describe
from service.app import create_app
from service.engine.allocator import keep_freed_memory
from service.engine.device import choose_device
from service.http.connections import Limits
from service.http.descriptors import places_for_connections
from service.http.openapi import build_openapi, render
from service.http.protocol import BoundedProtocol
from service.http.server import Server
from service.telemetry import logs

log = logging.getLogger("service")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, 2 for invalid settings."""
    command = _parser().parse_args(arguments).command
    if command == "openapi":
        sys.stdout.write(render(build_openapi(create_app(Settings.model_construct()))))
        return 0
    try:
        settings = load()
        choose_device(settings.device)
    except InvalidSettings as error:
        problems = error.problems
    except ServiceError as error:
        problems = [error.message]
    else:
        return serve(settings)
    for problem in problems:
        sys.stderr.write(f"settings: {problem}\n")
    sys.stderr.write("python -m service --help lists all settings\n")
    return 2


def serve(settings: Settings) -> int:
    """Serve until a signal stops the process; returns the exit status."""
    logs.configure(settings.log_level)
    keep_freed_memory()
    _log_access(settings)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = Server(
        config,
        lambda: app.state.runtime,
        limits=_limits(settings),
        drain_seconds=settings.drain_seconds,
        grace_seconds=settings.shutdown_grace_seconds,
    )
    # After its shutdown, the server raises the signal that stopped it again; that is not a failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with suppress(KeyboardInterrupt):
        server.run()
    if server.started and app.state.device_is_stuck:
        log.critical("the device did not finish its batch; exiting without it")
        logging.shutdown()
        os._exit(1)  # a normal exit would wait for the device thread
    return 0 if server.started else 1


def _limits(settings: Settings) -> Limits:
    connections = places_for_connections(settings.max_connections)
    if connections < settings.max_connections:
        log.warning("at most %d connections: the process may not have more files open (ulimit -n)", connections)
    return Limits(connections=connections, bytes_per_second=settings.min_body_bytes_per_second)


def _log_access(settings: Settings) -> None:
    keys = settings.keys()
    who = f"{len(keys)} API key(s)" if keys else "no API keys: open to anyone who can reach this address"
    level = logging.INFO if keys or settings.is_loopback else logging.WARNING
    log.log(level, "listening on %s port %d, %s", settings.host, settings.port, who)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve spiking neural networks over HTTP.",
        epilog=f"Settings are environment variables; defaults are in brackets.\n{describe()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "openapi"),
        default="serve",
        help="serve (default): start the service; openapi: print the HTTP interface as an OpenAPI document",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
