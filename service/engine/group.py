"""The engine of a group: the engines of its members, one after the other on the same samples."""

from collections.abc import Sequence

import numpy as np

from contract.card import Card
from contract.errors import InvalidParameter
from service.engine.device import Device
from service.engine.interface import Activity, Choice, Engine, Sample, State, Totals, Votes


class GroupEngine:
    """Runs all `members`; `card` is that of the group. Their weights are in memory once, for them and for the group."""

    memory_bytes = 0

    def __init__(self, card: Card, members: Sequence[Engine]) -> None:
        self.card = card
        self.choice = Choice("group", f"it joins {len(members)} members, which have engines of their own")
        self._members = tuple(members)

    @property
    def device(self) -> Device:
        """That of the first member."""
        return self._members[0].device

    def run(
        self, samples: Sequence[Sample], leads: Sequence[int] | None = None, *, raster: bool = False
    ) -> list[Activity]:
        """Run whole samples through every member; each activity has the layers of all members, and all `decisions`."""
        if leads is not None:
            raise InvalidParameter("a group does not end early", param="exit")
        runs = [member.run(samples, raster=raster) for member in self._members]
        most = [member.card.timesteps * member.card.voters for member in self._members]
        return [_side_by_side(activities, most) for activities in zip(*runs, strict=True)]

    def initial_state(self) -> State:
        """Refused: a group takes whole samples."""
        raise InvalidParameter("a group takes whole samples; stream to one of its members", param="name")

    def step(self, samples: Sequence[Sample], states: Sequence[State]) -> list[tuple[Activity, State]]:
        """Refused: a group takes whole samples."""
        raise InvalidParameter("a group takes whole samples; stream to one of its members", param="name")


def _side_by_side(activities: Sequence[Activity], most: Sequence[int]) -> Activity:
    votes = np.sum([each.totals.votes for each in activities], axis=0)
    totals = Totals(
        votes=votes.tolist(),
        ranking=np.argsort(-votes, kind="stable").tolist(),
        spikes=[count for each in activities for count in each.totals.spikes],
        synops=[count for each in activities for count in each.totals.synops],
    )
    fired = [each.fired for each in activities if each.fired is not None]
    return Activity(
        scores=np.sum([each.scores for each in activities], axis=0),
        spikes=np.concatenate([each.spikes for each in activities], axis=1),
        synops=np.concatenate([each.synops for each in activities], axis=1),
        input=sum(each.input for each in activities),
        totals=totals,
        decisions=tuple(Votes(each.totals.votes, whole) for each, whole in zip(activities, most, strict=True)),
        fired=np.concatenate(fired, axis=1) if fired else None,
    )
