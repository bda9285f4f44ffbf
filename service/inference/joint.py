"""Several decisions on one input, by Poisson draws, and the joint decision that the response gives."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from contract.card import Card
from contract.decision import DecisionRule, decide, draw_seed
from contract.errors import InvalidParameter
from contract.group import Group
from contract.settings import Settings
from service.engine.interface import Activity, ImageSample, Sample, Totals, Votes
from service.inference.bodies import Decision, Joint


@dataclass(frozen=True, slots=True)
class JointOptions:
    """How many Poisson draws each input has, the members that decide on each draw, and the rule that joins them all."""

    draws: int
    rule: DecisionRule
    members: tuple[str, ...] = ()

    @property
    def decisions(self) -> int:
        """How many decisions are joined."""
        return self.draws * max(1, len(self.members))


def joint_options(
    draws: int, rule: DecisionRule | None, model: str, card: Card, group: Group | None, settings: Settings
) -> JointOptions | None:
    """The joint decision that a request asks for, None for a single decision; `InvalidParameter` if it cannot be made.

    A draw counts as an input of its own, so that `max_inputs` bounds them too.
    """
    most = min(settings.max_draws, settings.max_inputs)
    if draws > most:
        raise InvalidParameter(f"draws is {draws}; at most {most} are allowed here", param="draws")
    if draws > 1 and not (card.encoder.kind == "image" and card.encoder.coding == "poisson"):
        coding = "direct coding" if card.encoder.kind == "image" else "time bins of events"
        message = f"model {model!r} has {coding}, which is not random, so all draws would be the same; leave out draws"
        raise InvalidParameter(message, param="draws")
    if group is not None:
        return JointOptions(draws, rule or group.decision, group.members)
    if draws == 1 and rule is not None:
        raise InvalidParameter("decision joins several decisions: set draws to 2 or more", param="decision")
    return JointOptions(draws, rule or "mean") if draws > 1 else None


def draws_of(sample: Sample, draws: int) -> list[Sample]:
    """The sample once for each draw, with the seed of the draw; the first one as it is."""
    if not isinstance(sample, ImageSample):
        return [sample] * draws
    return [sample, *(replace(sample, seed=draw_seed(sample.seed, draw)) for draw in range(1, draws))]


def join(activities: Sequence[Activity], card: Card, options: JointOptions) -> tuple[Activity, list[float], Joint]:
    """Join the activities of one input's draws, in each of which a group has a decision of each member.

    Returns their sum, whose ranking is the joint one; the joint score of each class; and what the response says.
    """
    single = [
        each
        for activity in activities
        for each in activity.decisions or (Votes(activity.totals.votes, len(activity.scores) * card.voters),)
    ]
    votes = np.array([each.votes for each in single], dtype=np.int64)
    found = decide(votes[:, None], [each.most for each in single], options.rule)
    decisions: list[Decision] = []
    for place, (each, k) in enumerate(zip(single, found.alone[:, 0].tolist(), strict=True)):
        draw, member = divmod(place, max(1, len(options.members)))
        own: Decision = {"draw": draw, "class_id": k, "label": card.labels[k], "score": each.votes[k] / each.most}
        if options.members:
            own["member"] = options.members[member]
        decisions.append(own)
    joint: Joint = {
        "decision": options.rule,
        "draws": options.draws,
        "agreement": float(found.agreement[0]),
        "decisions": decisions,
    }
    return _sum(activities, found.ranking[0].tolist()), found.scores[0].tolist(), joint


def _sum(activities: Sequence[Activity], ranking: list[int]) -> Activity:
    """The sum of activities of equally many time steps, step by step."""
    scores, spikes, synops = (
        np.sum([getattr(each, name) for each in activities], axis=0) for name in ("scores", "spikes", "synops")
    )
    votes, fired, performed = (each.sum(axis=0).tolist() for each in (scores, spikes, synops))
    fed = sum(activity.input for activity in activities)
    return Activity(scores, spikes, synops, fed, Totals(votes, ranking, fired, performed))
