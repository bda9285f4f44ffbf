"""The small digits of scikit-learn: 1797 images of 8 x 8, there without a download."""

import numpy as np
import torch
from sklearn.datasets import load_digits as load_from_scikit_learn  # type: ignore[import-untyped]

from contract.card import InputSpec
from training.data.dataset import Dataset, Images, split_train

TEST_SAMPLES = 360
SPLIT_SEED = 0
ATTRIBUTION = (
    "Optical Recognition of Handwritten Digits: Ethem Alpaydin, Cenk Kaynak, UCI Machine Learning Repository, "
    "CC BY 4.0, as shipped with scikit-learn"
)


def load_digits() -> Dataset:
    """Load the digits as 1437 training and 360 test images.

    The values 0 to 16 become pixels by `round(value * 255 / 16)`. The parts are always the same: cut with a fixed seed
    so that each class keeps its share.
    """
    values, targets = load_from_scikit_learn(return_X_y=True)
    pixels = np.round(values * 255 / 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    images = Images(torch.from_numpy(pixels), torch.from_numpy(targets).long())
    train, test = split_train(images.labels, TEST_SAMPLES / len(images), SPLIT_SEED)
    spec = InputSpec(kind="image", channels=1, height=8, width=8)
    return Dataset("digits", tuple("0123456789"), spec, images.subset(train), images.subset(test), ATTRIBUTION)
