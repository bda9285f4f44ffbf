"""Cross-origin resource sharing: which pages of other sites may call the API."""

from collections.abc import Collection

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

_METHODS = ("GET", "POST", "PUT", "DELETE")
_EXPOSED = ("ETag", "Retry-After", "X-Request-ID")
_REMEMBER_S = 600


def with_cors(app: ASGIApp, origins: Collection[str]) -> ASGIApp:
    """`app` for pages of these origins too; as it is where there are none."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=list(origins),
        allow_methods=_METHODS,
        allow_headers=["*"],
        expose_headers=_EXPOSED,
        max_age=_REMEMBER_S,
    )
