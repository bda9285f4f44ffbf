"""What `auto` means: hyperparameters that the caller leaves to the service.

A small data set gets more epochs, so that the network sees enough samples before training ends.
"""

from math import ceil

from contract.card import Card, Mode

N_EPOCHS = range(1, 1001)
BATCH_SIZE = range(1, 1025)
MAX_LEARNING_RATE_MULTIPLIER = 100.0

LEARNING_RATE_MULTIPLIER: dict[Mode, float] = {
    "stl": 1.0,
    "sl": 1.0,
    "tl": 20.0,
}  # thresholds alone have to move further
_SAMPLES_SEEN = 30_000
_EPOCHS = (3, 40)
_BATCH = (8, 50)
_BATCHES_AN_EPOCH = 20


def auto_epochs(samples: int) -> int:
    """Epochs over a training file of `samples` samples: 30,000 samples altogether, within 3 to 40 epochs."""
    return min(max(ceil(_SAMPLES_SEEN / samples), _EPOCHS[0]), _EPOCHS[1])


def auto_batch_size(samples: int) -> int:
    """Samples per step: at least 20 steps per epoch, within 8 to 50 samples."""
    return min(max(samples // _BATCHES_AN_EPOCH, _BATCH[0]), _BATCH[1])


def base_learning_rate(card: Card) -> float:
    """The learning rate of the model's first training: the card's, without a fine-tuning's multiplier."""
    return card.learning.lr / (card.learning.learning_rate_multiplier or 1.0)
