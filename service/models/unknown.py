"""Names that the store does not have: looked for on disk now and then, and answered with a name that is near."""

import asyncio
import re
from bisect import bisect
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from contract.names import NAME_PATTERN

_MOST = 64
_NEIGHBOURS = 16

_NAME = re.compile(NAME_PATTERN)


class Lookups:
    """Looks for unknown models and versions on disk: for each once, and for at most 64, until the next `forget`.

    So a version that has just been published is found at once, and callers cannot make the disk work, nor memory grow,
    with names that they invent. `look` begins to look for a model.
    """

    def __init__(self, look: Callable[[str], asyncio.Task[None]]) -> None:
        self._look = look
        self._begun: dict[tuple[str, int | None], asyncio.Task[None]] = {}

    async def look_for(self, name: str, number: int | None) -> None:
        """Return once the store has been asked for the model or version, or need not be asked."""
        key = name, number
        if key not in self._begun:
            if len(self._begun) >= _MOST or not _NAME.fullmatch(name):
                return
            self._begun[key] = self._look(name)
        await asyncio.shield(self._begun[key])

    def forget(self) -> None:
        """Look again from now on, because the whole store has just been scanned."""
        self._begun.clear()


def suggestion(name: str, names: Sequence[str]) -> str:
    """`; did you mean 'digits'?`, or nothing. Only neighbours in the sorted `names` are compared, which is quick."""
    if not _NAME.fullmatch(name):
        return ""
    place = bisect(names, name)
    near = get_close_matches(name, names[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS], n=1)
    return "".join(f"; did you mean {each!r}?" for each in near)
