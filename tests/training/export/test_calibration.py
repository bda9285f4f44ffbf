"""Least leads for an early exit, found from votes whose course is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.early_exit import lossless_leads, steps_used
from training.export.calibration import conformal_leads, gap_leads

VOTERS, STEPS = 10, 4
LOSSLESS = lossless_leads(STEPS, VOTERS)


def made(count: int, seed: int, *, hard: float = 0.3) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Votes `[N, T, K]` of samples, of which a share is hard: their right class has few votes more than the others."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, count)
    strength = np.where(rng.random(count) < hard, 0.35, 0.9)
    rates = np.full((count, STEPS, 5), 0.3)
    rates[np.arange(count), :, labels] = strength[:, None]
    return rng.binomial(VOTERS, rates), labels


def ended(votes: NDArray[np.int64], leads: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The steps that each sample takes, and its class then."""
    used = steps_used(votes, leads)
    return used, votes.cumsum(1)[np.arange(len(votes)), used - 1].argmax(1)


@pytest.mark.parametrize("eps", [0.001, 0.02, 0.1])
def test_of_the_samples_that_end_at_a_step_a_share_of_eps_is_ever_wrong(eps: float) -> None:
    votes, labels = made(3000, 0)
    leads = gap_leads(votes, labels, eps, LOSSLESS)
    used, _ = ended(votes, leads)
    is_right = votes.cumsum(1).argmax(2) == labels[:, None]
    for step in range(1, STEPS):
        here = used == step
        wrong = [not is_right[sample, step - 1 :].all() for sample in np.flatnonzero(here)]
        if leads[step - 1] < LOSSLESS[step - 1]:
            assert np.mean(wrong) <= eps
    assert leads[-1] == 0
    assert all(lead <= most for lead, most in zip(leads, LOSSLESS, strict=True))


def test_one_vote_less_lets_too_many_wrong_ones_go() -> None:
    votes, labels = made(3000, 0)
    lead = gap_leads(votes, labels, 0.02, LOSSLESS)[0]
    sums = votes.cumsum(1)
    stays = (sums.argmax(2) == labels[:, None]).all(1)
    first = np.sort(votes[:, 0], 1)
    gaps = first[:, -1] - first[:, -2]
    assert 0 < lead < LOSSLESS[0]
    assert (~stays[gaps >= lead]).mean() <= 0.02 < (~stays[gaps >= lead - 1]).mean()


def test_a_larger_eps_ends_samples_earlier() -> None:
    votes, labels = made(3000, 1)
    steps = [ended(votes, gap_leads(votes, labels, eps, LOSSLESS))[0].mean() for eps in (0.0001, 0.01, 0.2)]
    assert steps[0] > steps[1] > steps[2]


def test_samples_that_are_never_right_leave_the_lossless_leads() -> None:
    votes, labels = made(50, 2, hard=0)
    wrong = (labels + 1) % 5
    assert gap_leads(votes, wrong, 0.01, LOSSLESS) == LOSSLESS


def test_new_samples_end_early_and_wrong_no_more_often_than_alpha() -> None:
    """The mean over many calibrations, which is what the conformal bound is about."""
    alpha, rates = 0.15, []
    for seed in range(60):
        leads = conformal_leads(*made(200, seed), alpha, LOSSLESS)
        votes, labels = made(500, 1000 + seed)
        used, classes = ended(votes, leads)
        is_final = votes.cumsum(1).argmax(2)[:, -1] == classes
        assert used.mean() < STEPS
        rates.append(((used < STEPS) & (classes != labels) & ~is_final).mean())
    assert 0 < np.mean(rates) <= alpha


def test_the_set_of_likely_classes_is_that_of_conformal_prediction() -> None:
    """With nine samples and one early step, alpha 0.2 leaves out the sample whose right class is farthest behind."""
    behind = np.array([0, 0, 0, 1, 1, 2, 2, 3, 9])
    votes = np.zeros((9, 2, 2), np.int64)
    votes[:, 0, 0], votes[:, 0, 1] = 9, 9 - behind
    assert conformal_leads(votes, np.ones(9, np.int64), 0.2, (11, 0)) == (4, 0)
    assert conformal_leads(votes, np.ones(9, np.int64), 0.09, (11, 0)) == (11, 0)  # too few samples


def test_a_network_of_one_step_has_nothing_to_calibrate() -> None:
    votes, labels = made(50, 3)
    assert gap_leads(votes[:, :1], labels, 0.01, (0,)) == conformal_leads(votes[:, :1], labels, 0.1, (0,)) == (0,)
