"""Run the HTTP server around the application until a signal stops the process."""

import logging
import os
import signal
from contextlib import suppress
from socket import socket

import uvicorn

from contract.settings import Settings
from service.app import create_app
from service.engine.allocator import keep_freed_memory
from service.http.connections import Limits
from service.http.descriptors import places_for_connections
from service.http.protocol import BoundedProtocol
from service.http.server import Server
from service.telemetry import logs

PING_SECONDS = 20.0  # a client of a WebSocket answers a ping within this time, or its connection is closed

log = logging.getLogger("service")


def serve(settings: Settings, sockets: list[socket] | None = None) -> int:
    """Serve until a signal stops the process; returns the exit status.

    With `sockets`, other processes listen on them too, and this one accepts connections once it can answer them.
    """
    logs.configure(settings.log_level, settings.log_format)
    keep_freed_memory()
    _log_access(settings)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=BoundedProtocol,
        ws="service.http.websocket:BoundedWebSocket",
        ws_max_size=settings.live_frame_bytes,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,  # a few bytes would unpack to megabytes
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
        is_one_of_several=sockets is not None,
    )
    # After its shutdown, the server raises the signal that stopped it again; that is not a failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with suppress(KeyboardInterrupt):
        server.run(sockets)
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
