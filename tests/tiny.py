"""Tiny data sets and really trained checkpoints for tests."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from contract.card import InputSpec
from contract.store import Store
from training.data import Dataset, Recordings, load_dataset
from training.learning.config import TrainingConfig
from training.learning.train import train

SENSOR = InputSpec(kind="events", channels=2, height=8, width=8)
EVENT_STEP_US = 1000
EVENT_STEPS = 5


def tiny_image_config(name: str = "tiny-image", **fields: object) -> TrainingConfig:
    """Digits, Poisson coded, on a network of a few hundred weights."""
    return TrainingConfig.model_validate(
        {
            "name": name,
            "dataset": "digits",
            "train_samples": 500,
            "network": "4C3-MP2-FC16-VOTE2",
            "timesteps": 4,
            "epochs": 4,
            "batch_size": 20,
            "learning_rate": 5e-3,
        }
        | fields
    )


def tiny_event_config(**fields: object) -> TrainingConfig:
    """A bar that moves left or right over an 8 x 8 sensor, in five bins of a millisecond."""
    return TrainingConfig.model_validate(
        {
            "name": "tiny-events",
            "dataset": "nmnist",
            "network": "4C3-MP2-FC16-VOTE2",
            "timesteps": EVENT_STEPS,
            "binning": "step",
            "step_us": EVENT_STEP_US,
            "epochs": 4,
            "batch_size": 20,
            "learning_rate": 1e-2,
        }
        | fields
    )


def moving_bar(rng: np.random.Generator, *, right: bool) -> np.ndarray:
    """Events int64 `[N, 4]` (t, x, y, p) of a bar of random place that moves by one pixel a millisecond."""
    start = int(rng.integers(0, 3)) if right else int(rng.integers(5, 8))
    rows = []
    for step in range(EVENT_STEPS):
        x = start + step if right else start - step
        for y in rng.permutation(8)[:6]:
            rows.append((step * EVENT_STEP_US + int(rng.integers(0, EVENT_STEP_US)), x, int(y), 1))
            if 0 <= (back := x - 1 if right else x + 1) < 8:
                rows.append((step * EVENT_STEP_US + int(rng.integers(0, EVENT_STEP_US)), back, int(y), 0))
    events = np.array(rows, dtype=np.int64)
    return events[np.argsort(events[:, 0], kind="stable")]


def moving_bars(samples: int, seed: int) -> Recordings:
    """As many recordings, every second one of class 1, "right"."""
    rng = np.random.default_rng(seed)
    recordings = [moving_bar(rng, right=bool(index % 2)) for index in range(samples)]
    offsets = np.cumsum([0, *(len(events) for events in recordings)])
    return Recordings.of(
        torch.from_numpy(np.concatenate(recordings)),
        torch.from_numpy(offsets.astype(np.int64)),
        torch.arange(samples) % 2,
    )


def tiny_events_dataset() -> Dataset:
    """120 recordings to train on and 40 to test."""
    return Dataset("moving-bars", ("left", "right"), SENSOR, moving_bars(120, seed=1), moving_bars(40, seed=2))


def fill_store(root: Path, scratch: Path) -> None:
    """Train `tiny-image` 1 and 2, `tiny-direct` 1 and `tiny-events` 1 into a store at `root`."""
    store = Store(root)
    digits = load_dataset("digits")
    for number, config in enumerate(
        [
            tiny_image_config(),
            tiny_image_config(seed=1),
            tiny_image_config("tiny-direct", coding="direct", network="FC32-VOTE2"),
        ]
    ):
        train(config, digits, store, scratch / str(number), progress=False)
    train(tiny_event_config(), tiny_events_dataset(), store, scratch / "events", progress=False)


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Write an archive again with each member's bytes changed, or left out for None."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for member in old.infolist():
            if (data := change(member.filename, old.read(member))) is not None:
                new.writestr(member, data)
    path.write_bytes(buffer.getvalue())
