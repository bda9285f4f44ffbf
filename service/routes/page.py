"""`GET /`, the page that shows the service at work, and `GET /docs`: static files, which need no API key.

The page asks for a key itself, and sends it with its calls of the API.
"""

from pathlib import Path

from fastapi import FastAPI

from service.http.documents import Document

FOLDER = Path(__file__).parents[1] / "page"
FILES = "/page/"
OPEN_PATHS = ("/", "/docs", FILES)
"""Paths that need no API key; the last one with everything below it."""

_MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".bin": "application/octet-stream",
}
_STRICT = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
_SWAGGER = f"{_STRICT}; img-src 'self' data:; style-src 'self' 'unsafe-inline'"
_DOCS_FOLDER = "docs"


def add_page(app: FastAPI, *, console: bool) -> None:
    """Serve the files of the page, without `console` only those of `/docs`."""
    for path in sorted(FOLDER.rglob("*")):
        name = path.relative_to(FOLDER)
        media_type = _MEDIA_TYPES.get(path.suffix)
        is_of_docs = name.parts[0] == _DOCS_FOLDER or "swagger" in str(name)
        if media_type and path.is_file() and (console or is_of_docs):
            _add(app, _address(name), path, media_type, _SWAGGER if is_of_docs else _STRICT)


def _address(name: Path) -> str:
    if name == Path("index.html"):
        return "/"
    return "/docs" if name == Path(_DOCS_FOLDER) / "index.html" else f"{FILES}{name.as_posix()}"


def _add(app: FastAPI, address: str, path: Path, media_type: str, policy: str) -> None:
    headers = {
        "Cache-Control": "no-cache",  # the browser asks, and gets 304 while nothing has changed
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    document = Document(path.read_bytes, media_type, headers)
    app.add_route(address, document.respond, methods=["GET"], include_in_schema=False)
