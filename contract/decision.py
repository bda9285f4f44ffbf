"""Joint decisions: one class from several decisions on the same sample, by Poisson draws, time windows or networks.

This is our reading of the idea of a joint decision, not the framework of the paper. All three rules compare whole
numbers, so their results do not depend on the order of the decisions or on rounding, and of equal classes the one with
the lower id always wins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

DecisionRule = Literal["mean", "vote", "confidence"]
DECISION_RULES: tuple[DecisionRule, ...] = get_args(DecisionRule)

_SEED_STEP = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio: draws of near seeds do not coincide
_SEEDS = 2**63


@dataclass(frozen=True, eq=False)
class JointDecision:
    """What several decisions on N samples come to.

    `classes` int64 `[N]` are the chosen class ids; `scores` float64 `[N, K]` are from 0 to 1, and the chosen class has
    the highest. `ranking` int64 `[N, K]` has the class ids by score. `alone` int64 `[M, N]` are the classes that each
    decision chooses by itself, and `agreement` float64 `[N]` is the share of decisions that choose the joint class.
    """

    classes: NDArray[np.int64]
    scores: NDArray[np.float64]
    ranking: NDArray[np.int64]
    alone: NDArray[np.int64]
    agreement: NDArray[np.float64]


def decide(votes: NDArray[np.int64], most: Sequence[int], rule: DecisionRule) -> JointDecision:
    """Join M decisions on N samples with K classes: `votes` `[M, N, K]`, of which decision m has at most `most[m]`.

    The score of a class in one decision is its votes divided by `most`, which is time steps times voting neurons.

    - `mean`: the mean of the scores.
    - `vote`: the share of the decisions that choose the class.
    - `confidence`: the mean of the scores, weighted with each decision's confidence, which is the distance of its best
      score to its second. Where every decision is a tie, the plain mean.
    """
    unit = math.lcm(*most)
    kind = np.int64 if unit**2 * len(most) < 2**62 else object  # Python's own integers for very unlike networks
    scaled = votes.astype(kind) * np.array([unit // each for each in most], kind)[:, None, None]  # in parts of a unit
    alone = votes.argmax(axis=2)
    if rule == "vote":
        sums = (alone[:, :, None] == np.arange(votes.shape[2])).sum(axis=0, dtype=np.int64)
        whole = np.full(votes.shape[1], len(votes), dtype=np.int64)
    else:
        weights = np.ones(votes.shape[:2], kind)
        if rule == "confidence":
            best = np.sort(scaled, axis=2)
            margins = best[:, :, -1] - best[:, :, -2]
            weights = np.where((margins != 0).any(axis=0), margins, weights)
        sums = (scaled * weights[:, :, None]).sum(axis=0)
        whole = weights.sum(axis=0) * unit
    ranking = np.argsort(-sums, axis=1, kind="stable")
    classes = ranking[:, 0]
    scores = (sums / whole[:, None]).astype(np.float64)
    return JointDecision(classes, scores, ranking, alone, (alone == classes).mean(axis=0))


def draw_seed(seed: int, draw: int) -> int:
    """The seed of one of several Poisson draws of a sample, from 0 to 2^63 - 1; draw 0 has the sample's own seed.

    It is `(seed + draw * 0x9E3779B97F4A7C15) mod 2^63`.
    """
    return (seed + draw * _SEED_STEP) % _SEEDS
