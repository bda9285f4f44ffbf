"""Server-sent events: the bytes of a stream, cut anywhere -> messages."""

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its data, and the id of the last message that had one."""

    event: str
    data: str
    last_id: str


class EventDecoder:
    """The decoder of one stream (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

    def __init__(self) -> None:
        self._rest = b""
        self._event = ""
        self._data: list[str] = []
        self._last_id = ""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete with these bytes."""
        text = self._rest + data
        end = len(text) - text.endswith(b"\r")  # which the next byte may make one line end of two bytes
        *lines, self._rest = _LINE_END.split(text[:end])
        self._rest += text[end:]
        return [message for line in lines if (message := self._take(line.decode(errors="replace"))) is not None]

    def _take(self, line: str) -> Message | None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            found = Message(self._event or "message", "\n".join(self._data), self._last_id) if self._data else None
            self._event, self._data = "", []
            return found
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id":
            self._last_id = value
        return None
