"""The lead of a decision, and the leads with which it cannot change any more."""

from itertools import product

import numpy as np

from contract.early_exit import lead_of, lossless_leads


def test_the_lead_is_what_the_first_class_has_over_the_second() -> None:
    votes = np.array([[3, 9, 5], [4, 4, 0], [0, 0, 0], [2, 2, 7]])
    assert lead_of(votes).tolist() == [4, 0, 0, 5]
    assert lead_of(votes[0]) == 4


def test_no_votes_that_are_left_change_a_class_with_a_lossless_lead() -> None:
    """Every course of the votes of two classes over three steps of two voters."""
    leads, ended = lossless_leads(3, 2), 0
    for course in product(product(range(3), repeat=2), repeat=3):
        votes = np.cumsum(course, axis=0)
        for used, (lead, least) in enumerate(zip(lead_of(votes), leads, strict=True), 1):
            if lead >= least:
                assert votes[used - 1].argmax() == votes[-1].argmax()
                ended += used < 3
    assert leads == (5, 3, 0)
    assert ended > 0


def test_one_vote_less_would_not_be_enough() -> None:
    """With a lead of just the votes that are left, the lower class can draw level and wins."""
    votes = np.cumsum([[0, 1], [0, 1], [2, 0]], axis=0)
    assert lead_of(votes)[1] == lossless_leads(3, 2)[1] - 1
    assert votes[1].argmax() != votes[2].argmax()
