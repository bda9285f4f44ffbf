"""When an inference may end before its last time step: as soon as its decision leads by enough votes.

The lead is how many more votes the leading class has than the second, over the time steps so far. A rule is a least
lead for each time step: a sample ends after the first step that reaches it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.card import Card


def lead_of(votes: NDArray[Any]) -> NDArray[np.int64]:
    """The lead, int64 `[...]`, of the class with the most of `votes` `[..., K]`, of at least two classes."""
    second, first = np.moveaxis(np.partition(votes.astype(np.int64), (-2, -1), -1)[..., -2:], -1, 0)
    return first - second  # type: ignore[no-any-return]


def lossless_leads(timesteps: int, voters: int) -> tuple[int, ...]:
    """The least leads with which the decision is that of all `timesteps`: more than the second class can still gain.

    A class has `voters` votes in each step; at best it gains them all while the leading class gains none. A lead of
    just as many is not enough, for of two classes with equal votes the one with the lower id wins.
    """
    return (*(voters * (timesteps - used) + 1 for used in range(1, timesteps)), 0)


def exit_leads(card: Card, *, confident: bool) -> tuple[int, ...] | None:
    """The least leads of a model for an exit that is `confident`, or else lossless; None if it is not calibrated.

    A lead with which no decision can change any more is always enough.
    """
    lossless = lossless_leads(card.timesteps, card.voters)
    if not confident:
        return lossless
    return None if card.calibration is None else tuple(map(min, card.calibration.leads, lossless))


def steps_used(votes: NDArray[Any], leads: Sequence[int]) -> NDArray[np.int64]:
    """How many time steps samples take, int64 `[N]`, from their votes in all of them `[N, T, K]`."""
    reached = lead_of(votes.cumsum(1)) >= np.asarray(leads)
    reached[:, -1] = True
    used: NDArray[np.int64] = reached.argmax(1) + 1
    return used
