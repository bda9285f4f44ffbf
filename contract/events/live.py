"""The formats of live events, by name: one decoder for each connection."""

from collections.abc import Callable
from functools import partial

from contract.errors import InvalidParameter
from contract.events.chunks import ChunkDecoder
from contract.events.evt2 import Evt2
from contract.events.evt3 import Evt3
from contract.events.evt21 import Evt21
from contract.events.records import Events8, Events13

DECODERS: dict[str, Callable[[], ChunkDecoder]] = {
    "events13": Events13,
    "events8": Events8,
    "evt2": Evt2,
    "evt21": Evt21,
    "evt21-legacy": partial(Evt21, legacy=True),
    "evt3": Evt3,
}


def live_decoder(format: str) -> ChunkDecoder:
    """A new decoder for one connection whose bytes have this format; `InvalidParameter` for an unknown one."""
    if format not in DECODERS:
        raise InvalidParameter(
            f"{format!r} is not a format of live events; the formats are {', '.join(DECODERS)}", param="format"
        )
    return DECODERS[format]()
