"""`/openapi.json` and the pages that show it; what is the same for every caller is rendered once and sent as bytes."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from threading import Lock

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html
from starlette.requests import Request
from starlette.responses import Response

_OPENAPI = "/openapi.json"
_WORTH_PACKING = 1024


class Document:
    """Something that is the same for every caller. It is rendered in a thread, for the first of them.

    `headers` go with it. Callers that accept gzip get it packed, which is done once too.
    """

    def __init__(self, render: Callable[[], bytes], media_type: str, headers: Mapping[str, str] | None = None) -> None:
        self._render = render
        self._media_type = media_type
        self._headers = {"Vary": "Accept-Encoding", **(headers or {})}
        self._lock = Lock()
        self._content: bytes | None = None
        self._packed = b""
        self._tag = ""

    async def respond(self, request: Request) -> Response:
        """The document, or 304 for a client that has it already (`If-None-Match`)."""
        if self._content is None:
            await asyncio.to_thread(self._fill)
        headers = {**self._headers, "ETag": self._tag}
        if self._tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if self._packed and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self._packed, headers=headers, media_type=self._media_type)
        return Response(self._content, headers=headers, media_type=self._media_type)

    def _fill(self) -> None:
        with self._lock:
            if self._content is None:
                content = self._render()
                self._tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
                if len(content) >= _WORTH_PACKING:
                    self._packed = gzip.compress(content, mtime=0)
                self._content = content


def add_documents(app: FastAPI) -> None:
    """Serve the OpenAPI document of `app`, and ReDoc, which shows it and comes from the internet."""

    def openapi() -> bytes:
        return json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()

    def redoc() -> bytes:
        return bytes(get_redoc_html(openapi_url=_OPENAPI, title=f"{app.title} - ReDoc").body)

    app.add_route(_OPENAPI, Document(openapi, "application/json").respond, include_in_schema=False)
    app.add_route("/redoc", Document(redoc, "text/html").respond, include_in_schema=False)
