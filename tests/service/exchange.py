"""One HTTP exchange with an application by hand: the client sends what and when it likes, and may hang up."""

import asyncio
import json
from typing import Any

from fastapi import FastAPI

from service.http.entrance.admission import end_early


class Exchange:
    """A request whose body is sent piece by piece."""

    def __init__(self, app: FastAPI, path: str, *, method: str = "POST", headers: dict[str, str] | None = None) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answer: list[dict[str, Any]] = []
        self.reads = 0
        path, _, query = path.partition("?")
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
            "server": ("test", 80),
        }
        self.task = asyncio.create_task(app(self._scope, self._receive, self._send))  # type: ignore[arg-type]

    def send(self, data: bytes, *, more: bool = False) -> None:
        self._messages.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def hang_up(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})
        end_early(self._scope, "client_left")

    @property
    def stage(self) -> str | None:
        """Where the request is: the stage of its ticket, None while it has no ticket."""
        ticket = self._scope.get("state", {}).get("ticket")
        return None if ticket is None else ticket.stage

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of the answer, once it is there."""
        await asyncio.wait_for(self.task, 60)
        head, *bodies = self._answer
        headers = {name.decode(): value.decode() for name, value in head["headers"]}
        return head["status"], headers, json.loads(b"".join(each["body"] for each in bodies))

    @property
    def is_answered(self) -> bool:
        return bool(self._answer)

    @property
    def received(self) -> bytes:
        """The body of the answer so far."""
        return b"".join(each.get("body", b"") for each in self._answer)

    async def _receive(self) -> dict[str, Any]:
        self.reads += 1
        return await self._messages.get()

    async def _send(self, message: dict[str, Any]) -> None:
        self._answer.append(message)
