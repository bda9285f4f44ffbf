"""`/openapi.json` and the pages that show it, rendered once and then sent as bytes."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from threading import Lock

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response

_OPENAPI = "/openapi.json"


class Document:
    """Something that is the same for every caller. It is rendered in a thread, for the first of them."""

    def __init__(self, render: Callable[[], bytes], media_type: str) -> None:
        self._render = render
        self._media_type = media_type
        self._lock = Lock()
        self._content: bytes | None = None
        self._tag = ""

    async def respond(self, request: Request) -> Response:
        """The document, or 304 for a client that has it already (`If-None-Match`)."""
        if self._content is None:
            await asyncio.to_thread(self._fill)
        headers = {"ETag": self._tag}
        if self._tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self._content, headers=headers, media_type=self._media_type)

    def _fill(self) -> None:
        with self._lock:
            if self._content is None:
                content = self._render()
                self._tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
                self._content = content


def add_documents(app: FastAPI) -> None:
    """Serve the OpenAPI document of `app`, and the pages that show it in a browser."""

    def openapi() -> bytes:
        return json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()

    def docs() -> bytes:
        return bytes(get_swagger_ui_html(openapi_url=_OPENAPI, title=f"{app.title} - Swagger UI").body)

    def redoc() -> bytes:
        return bytes(get_redoc_html(openapi_url=_OPENAPI, title=f"{app.title} - ReDoc").body)

    app.add_route(_OPENAPI, Document(openapi, "application/json").respond, include_in_schema=False)
    app.add_route("/docs", Document(docs, "text/html").respond, include_in_schema=False)
    app.add_route("/redoc", Document(redoc, "text/html").respond, include_in_schema=False)
