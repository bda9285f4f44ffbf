"""Several decisions on one input, by Poisson draws, and the joint decision that the response gives."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from contract.card import Card
from contract.decision import DecisionRule, decide, draw_seed
from contract.errors import InvalidParameter
from contract.settings import Settings
from service.engine.interface import Activity, ImageSample, Sample, Totals
from service.inference.bodies import Decision, Joint


@dataclass(frozen=True, slots=True)
class JointOptions:
    """How many Poisson draws each input has, and the rule that joins their decisions."""

    draws: int
    rule: DecisionRule


def joint_options(
    draws: int, rule: DecisionRule | None, model: str, card: Card, settings: Settings
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
    if draws == 1 and rule is not None:
        raise InvalidParameter("decision joins several decisions: set draws to 2 or more", param="decision")
    return JointOptions(draws, rule or "mean") if draws > 1 else None


def draws_of(sample: Sample, draws: int) -> list[Sample]:
    """The sample once for each draw, with the seed of the draw; the first one as it is."""
    if not isinstance(sample, ImageSample):
        return [sample] * draws
    return [sample, *(replace(sample, seed=draw_seed(sample.seed, draw)) for draw in range(1, draws))]


def join(activities: Sequence[Activity], card: Card, options: JointOptions) -> tuple[Activity, list[float], Joint]:
    """Join the activities of one input's draws.

    Returns their sum, whose ranking is the joint one; the joint score of each class; and what the response says.
    """
    votes = np.array([activity.totals.votes for activity in activities], dtype=np.int64)
    most = [len(activity.scores) * card.voters for activity in activities]
    found = decide(votes[:, None], most, options.rule)
    chosen = found.alone[:, 0].tolist()
    decisions: list[Decision] = [
        {"draw": draw, "class_id": k, "label": card.labels[k], "score": int(votes[draw, k]) / most[draw]}
        for draw, k in enumerate(chosen)
    ]
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
