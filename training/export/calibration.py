"""The least leads at which a decision may be taken before the last time step, found from samples.

`votes` are whole numbers `[N, T, K]`: the votes of each of N samples in each of T time steps; `labels` int64 `[N]` the
right classes. No lead is larger than the lossless one of its step (`contract.early_exit`), and that of the last step
is 0.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from contract.early_exit import lead_of

Votes = NDArray[np.int64]


def gap_leads(votes: Votes, labels: Votes, eps: float, lossless: Sequence[int]) -> tuple[int, ...]:
    """The least leads with which, of the samples that end at a step, at most a share `eps` is ever wrong from then on.

    A sample ends at the first step at which it may. It is right if the class with the most votes is the right one after
    this step and after every later one: the gap between the two best classes, as SNNCutoff uses it.
    """
    sums = votes.cumsum(1)
    leads, is_right = lead_of(sums), sums.argmax(2) == labels[:, None]
    stays_right = np.logical_and.accumulate(is_right[:, ::-1], axis=1)[:, ::-1]
    found, going = [], np.ones(len(labels), bool)
    for step, most in enumerate(lossless):
        lead = min(most, _least_lead(leads[going, step], stays_right[going, step], eps, most))
        found.append(lead)
        going &= leads[:, step] < lead
    return tuple(found)


def _least_lead(leads: Votes, is_right: NDArray[np.bool_], eps: float, otherwise: int) -> int:
    """The least of `leads` so that of the samples with at least that lead at most a share `eps` is wrong."""
    order = np.argsort(-leads, kind="stable")
    ordered, wrong = leads[order], np.cumsum(~is_right[order])
    is_last_of_its_lead = np.append(ordered[1:] != ordered[:-1], True)
    allowed = np.flatnonzero(is_last_of_its_lead & (wrong <= eps * np.arange(1, len(order) + 1)))
    return int(ordered[allowed[-1]]) if len(allowed) else otherwise


def conformal_leads(votes: Votes, labels: Votes, alpha: float, lossless: Sequence[int]) -> tuple[int, ...]:
    """The least leads with which at most a share `alpha` of new samples ends early with a wrong class.

    This is SpikeCP with votes: after each step, the set of likely classes holds those that are at most as far behind
    the leading one as the right class was in all but a share `alpha` / (T - 1) of the samples, counted as conformal
    prediction does. A sample ends when the set has one class. The bound holds over new samples and samples to calibrate
    together, if they come from the same source.
    """
    sums, count = votes.cumsum(1), len(labels)
    behind = sums.max(2) - np.take_along_axis(sums, labels[:, None, None], 2)[..., 0]
    share = alpha / max(1, len(lossless) - 1)
    rank = ceil((1 - share) * (count + 1))
    if rank > count:  # too few samples for this share
        return tuple(lossless)
    least = np.sort(behind, 0)[rank - 1] + 1
    return tuple(min(int(lead), most) for lead, most in zip(least, lossless, strict=True))
