"""Events from chunks of bytes that may be cut anywhere: the part that all formats of live streams share."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidEvents, TooManyEvents
from contract.events.checks import check_count


class ChunkDecoder(ABC):
    """Decodes the words of one connection or file, chunk by chunk.

    Between two chunks it holds the state of its format and less than one word of bytes. `at` is the position of the
    first byte, for messages, and `source` what they call the bytes.
    """

    WORD: ClassVar[np.dtype[Any]]
    MOST: ClassVar[int]  # events in a word

    def __init__(self, *, at: int = 0, source: str = "stream") -> None:
        self._at = at
        self._source = source
        self._rest = b""

    def most_events(self, size: int) -> int:
        """The most events that the next chunk of `size` bytes can hold: its cost, before it is decoded."""
        return (len(self._rest) + size) // self.WORD.itemsize * self.MOST

    def feed(self, chunk: bytes | memoryview, max_events: int) -> NDArray[np.int64]:
        """The events that end in this chunk, int64 `[N, 4]` (t in µs, x, y, p), in the order in which they were sent.

        Raises `TooManyEvents` before more than `max_events` are unpacked, and `InvalidEvents` for a word that the
        format does not have or a value that no event has. After an error the decoder is of no further use.
        """
        data = self._rest + chunk if self._rest else chunk
        whole = len(data) - len(data) % self.WORD.itemsize
        events = self._decode(np.frombuffer(data, self.WORD, count=whole // self.WORD.itemsize), max_events)
        self._rest = bytes(data[whole:])
        self._at += whole
        return events

    def end(self) -> None:
        """`InvalidEvents` if the last chunk ended inside a word."""
        if self._rest:
            raise InvalidEvents(f"the {self._source} ends inside the {self.WORD.itemsize}-byte word at byte {self._at}")

    @abstractmethod
    def _decode(self, words: NDArray[Any], max_events: int) -> NDArray[np.int64]:
        """The events of whole words, of which the first one begins at byte `self._at`."""

    def _check_count(self, count: int, max_events: int) -> None:
        if count > max_events:
            raise TooManyEvents(f"the {self._source} exceeds the limit of {max_events} events")

    def _refuse(self, bad: NDArray[np.bool_], name: str) -> None:
        """Raise `InvalidEvents` for the first word of a kind that the format does not have."""
        if bad.any():
            at = self._at + int(bad.argmax()) * self.WORD.itemsize
            raise InvalidEvents(f"the word at byte {at} has a type that does not exist in {name}")


def read_whole(decoder: ChunkDecoder, data: memoryview, max_events: int) -> NDArray[np.int64]:
    """The events of a recording in a single chunk, int64 `[N, 4]`, at least one."""
    events = decoder.feed(data, max_events)
    decoder.end()
    check_count(len(events), max_events)
    return events
