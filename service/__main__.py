"""Start the service (`python -m service`), or print its interface (`python -m service openapi`, or `asyncapi`).

What takes long is imported once the command line and the settings are known to be valid, so that help and errors come
at once.
"""

import argparse
import sys
from importlib.util import find_spec

from contract.errors import ServiceError
from contract.settings import InvalidSettings, Settings, load
from contract.settings_help import describe

SANDBOXED = ("service.inference.decoding", "service.open_inference.unpack", "service.uploads.checks")
"""The modules whose functions run in sandboxes."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, 2 for invalid settings."""
    command = _parser().parse_args(arguments).command
    if command != "serve":
        print_openapi() if command == "openapi" else print_asyncapi()
        return 0
    try:
        settings = load()
    except InvalidSettings as error:
        return _report(error.problems)
    if settings.grpc_port is not None and find_spec("grpc_health") is None:
        return _report(["SNN_GRPC_PORT needs the extra grpc: pip install 'stl-snn[grpc]'"])
    from service.sandbox.pool import prepare

    if settings.workers == 1:
        prepare(*SANDBOXED)  # imports them on another core, while this process imports the rest
    from service.engine.device import choose_device

    try:
        choose_device(settings.device)
    except ServiceError as error:
        return _report([error.message])
    if settings.workers > 1:
        from service.supervisor import supervise

        return supervise(settings)
    from service.serve import serve

    return serve(settings)


def print_openapi() -> None:
    """Print the HTTP interface as an OpenAPI document, the same whatever the settings."""
    from service.app import create_app
    from service.http.openapi import build_openapi, render

    sys.stdout.write(render(build_openapi(create_app(Settings.model_construct()))))


def print_asyncapi() -> None:
    """Print the messages of live streams as an AsyncAPI document."""
    from service.http.asyncapi import build_asyncapi
    from service.http.openapi import render
    from service.routes.stream import PATH, StreamQuery

    sys.stdout.write(render(build_asyncapi(PATH, StreamQuery)))


def _report(problems: list[str]) -> int:
    for problem in problems:
        sys.stderr.write(f"settings: {problem}\n")
    sys.stderr.write("python -m service --help lists all settings\n")
    return 2


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
        choices=("serve", "openapi", "asyncapi"),
        default="serve",
        help="serve (default): start the service; openapi: print the HTTP interface as an OpenAPI document; asyncapi: "
        "print the messages of live streams as an AsyncAPI document",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
