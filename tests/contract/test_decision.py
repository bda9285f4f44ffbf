from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from contract.decision import DECISION_RULES, DecisionRule, decide, draw_seed

# Three decisions on one sample, of at most ten votes for each of three classes.
SURE_AND_UNSURE = [[9, 0, 0], [4, 5, 0], [4, 5, 0]]


@pytest.mark.parametrize(
    ("votes", "rule", "chosen", "scores"),
    [
        (SURE_AND_UNSURE, "mean", 0, [17 / 30, 10 / 30, 0]),
        (SURE_AND_UNSURE, "vote", 1, [1 / 3, 2 / 3, 0]),
        (SURE_AND_UNSURE, "confidence", 0, [(9 * 9 + 4 + 4) / 110, (5 + 5) / 110, 0]),  # weights 9, 1, 1
        ([[0, 3, 4], [0, 4, 3]], "mean", 1, [0, 0.35, 0.35]),
        ([[0, 3, 4], [0, 4, 3]], "vote", 1, [0, 0.5, 0.5]),
        ([[0, 3, 4], [0, 4, 3]], "confidence", 1, [0, 0.35, 0.35]),
        ([[2, 2, 0], [0, 1, 3]], "confidence", 2, [0, 0.1, 0.3]),  # a tie has no weight
        ([[2, 2, 0], [0, 5, 5]], "confidence", 1, [0.1, 0.35, 0.25]),  # nothing but ties: the mean
        ([[0, 0, 0], [0, 0, 0]], "confidence", 0, [0, 0, 0]),  # silence
        ([[0, 0, 0], [0, 0, 1]], "vote", 0, [0.5, 0, 0.5]),  # a silent decision is for class 0, as always
    ],
)
def test_literal_examples(votes: list[list[int]], rule: DecisionRule, chosen: int, scores: list[float]) -> None:
    joint = decide(np.array(votes)[:, None], [10] * len(votes), rule)
    assert joint.classes.tolist() == [chosen]
    assert joint.scores[0].tolist() == pytest.approx(scores)


def test_decisions_of_networks_with_unequal_numbers_of_voters_weigh_the_same() -> None:
    joint = decide(np.array([[[3, 0]], [[0, 39]]]), [4, 40], "mean")
    assert joint.scores[0].tolist() == pytest.approx([0.375, 0.4875])
    assert joint.alone[:, 0].tolist() == [0, 1]
    assert joint.agreement.tolist() == [0.5]


def _by_fractions(votes: np.ndarray, most: list[int], rule: DecisionRule) -> tuple[int, list[Fraction]]:
    """The same for one sample, decision by decision, in Python's fractions."""
    scores = [[Fraction(int(count), whole) for count in row] for row, whole in zip(votes, most, strict=True)]
    classes = range(len(scores[0]))
    if rule == "vote":
        chosen = Counter(row.index(max(row)) for row in scores)
        joint = [Fraction(chosen[k], len(scores)) for k in classes]
    else:
        weights = [Fraction(1)] * len(scores)
        if rule == "confidence":
            margins = [max(row) - sorted(row)[-2] for row in scores]
            weights = margins if any(margins) else weights
        joint = [sum((w * row[k] for w, row in zip(weights, scores, strict=True)), Fraction(0)) for k in classes]
        joint = [each / sum(weights) for each in joint]
    return joint.index(max(joint)), joint


@pytest.mark.parametrize("most", [[3, 8, 40, 6], [10007, 10009, 10037, 10039]])
@pytest.mark.parametrize("rule", DECISION_RULES)
def test_the_rules_are_those_of_an_independent_implementation(rule: DecisionRule, most: list[int]) -> None:
    rng = np.random.default_rng(5)
    votes = np.stack([rng.integers(0, whole + 1, (300, 4)) for whole in most])
    votes[:, :60] = np.array(most)[:, None, None] * rng.integers(0, 2, (4, 60, 4))  # many ties
    joint = decide(votes, most, rule)
    expected = [_by_fractions(votes[:, sample], most, rule) for sample in range(300)]
    assert joint.classes.tolist() == [chosen for chosen, _ in expected]
    assert np.allclose(joint.scores, np.array([[float(each) for each in scores] for _, scores in expected]))
    rankings = [sorted(range(4), key=scores.__getitem__, reverse=True) for _, scores in expected]
    assert joint.ranking.tolist() == rankings  # sorted keeps the order of equal classes, also in reverse
    shuffled = decide(votes[::-1], most[::-1], rule)
    assert np.array_equal(shuffled.classes, joint.classes)
    assert np.array_equal(shuffled.scores, joint.scores)


def test_one_decision_is_itself() -> None:
    votes = np.random.default_rng(0).integers(0, 9, (1, 50, 3))
    for rule in DECISION_RULES:
        joint = decide(votes, [8], rule)
        assert np.array_equal(joint.classes, votes[0].argmax(1))
        assert joint.agreement.tolist() == [1.0] * 50


def test_draws_have_different_seeds_of_which_the_first_is_the_sample_s_own() -> None:
    assert draw_seed(7, 0) == 7
    assert draw_seed(0, 1) == 0x9E3779B97F4A7C15 - 2**63
    seeds = [draw_seed(seed, draw) for seed in (*range(100), 2**63 - 1) for draw in range(64)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
