"""What a stream has decided so far: votes of its time steps -> the score of each class."""

from collections import deque
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contract.card import Card

Policy = Literal["running", "window", "leaky"]


class RunningVotes:
    """Scores in [0, 1] from the votes of the time steps so far.

    `running` is the mean over all steps, which after the model's T steps is the score of a whole recording. `window` is
    the mean over the last T steps. `leaky` is a mean whose weights fall by 1/T at each later step.
    """

    def __init__(self, card: Card, policy: Policy) -> None:
        self._classes, self._voters, self._timesteps = len(card.labels), card.voters, card.timesteps
        self._policy = policy
        self.reset()

    def reset(self) -> None:
        """Forget the steps so far."""
        self.sums = np.zeros(self._classes)
        """The votes so far, float64 `[K]`: whole numbers, and so exact, but for `leaky`."""
        self._weight = 0.0
        self._latest: deque[NDArray[np.int64]] = deque()

    def add(self, votes: NDArray[np.int64]) -> NDArray[np.float64]:
        """The scores float64 `[K]` after one more step with these votes int64 `[K]`."""
        if self._policy == "leaky":
            keep = 1 - 1 / self._timesteps
            self.sums, self._weight = self.sums * keep + votes, self._weight * keep + 1
        else:
            self.sums, self._weight = self.sums + votes, self._weight + 1
        if self._policy == "window":
            self._latest.append(votes)
            if len(self._latest) > self._timesteps:
                self.sums, self._weight = self.sums - self._latest.popleft(), self._weight - 1
        scores: NDArray[np.float64] = self.sums / (self._weight * self._voters)
        return scores
