"""Accuracy of a joint decision, and what it costs in spikes and operations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from contract.card import Card, Metrics
from contract.decision import DecisionRule, decide
from training.export.evaluate import Evaluation, metrics


@dataclass(frozen=True)
class JointEvaluation:
    """A joint decision of several evaluations of the same samples.

    `alone` has the accuracy of each decision by itself, `agreement` is the mean share of them that choose the joint
    class. Spikes, operations and energy are the sums of all decisions, per sample.
    """

    rule: DecisionRule
    accuracy: float
    samples: int
    alone: tuple[float, ...]
    agreement: float
    spikes: float
    accumulates: float
    multiply_accumulates: float
    energy_nj: float
    energy_profile: str

    @property
    def operations(self) -> float:
        """Synaptic operations of all decisions, per sample."""
        return self.accumulates + self.multiply_accumulates


def join(evaluations: Sequence[tuple[Card, Evaluation]], labels: Tensor, rule: DecisionRule) -> JointEvaluation:
    """Join evaluations, each with the card of its network, on samples with the class ids `labels` int64 `[N]`."""
    votes = np.stack([evaluation.votes.numpy() for _, evaluation in evaluations])
    joint = decide(votes, [card.timesteps * card.voters for card, _ in evaluations], rule)
    each: list[Metrics] = [metrics(evaluation, card.layers, card.timesteps) for card, evaluation in evaluations]
    return JointEvaluation(
        rule=rule,
        accuracy=float((joint.classes == labels.numpy()).mean()),
        samples=len(labels),
        alone=tuple(evaluation.accuracy for _, evaluation in evaluations),
        agreement=float(joint.agreement.mean()),
        spikes=sum(found.spikes_per_sample for found in each),
        accumulates=sum(found.accumulates_per_sample for found in each),
        multiply_accumulates=sum(found.multiply_accumulates_per_sample for found in each),
        energy_nj=sum(found.energy_nj_per_sample for found in each),
        energy_profile=each[0].energy_profile,
    )
