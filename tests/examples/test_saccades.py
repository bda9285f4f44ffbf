"""The simulated event camera, from a picture to what a model makes of its recording."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.events import read_events
from tests.service.serving import serving

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def pixels(recording: bytes) -> NDArray[np.int64]:
    """How many events each pixel `[y, x]` had."""
    _, x, y, _ = read_events(recording, "nmnist", max_events=100_000).T
    counts = np.zeros((34, 34), np.int64)
    np.add.at(counts, (y, x), 1)
    return counts


def simulate(picture: Path, recording: Path) -> str:
    """Run the example; returns what it prints."""
    command = [sys.executable, "examples/saccades.py", str(picture), str(recording)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


async def test_a_model_recognises_the_digit_in_its_recording(tmp_path: Path) -> None:
    printed = simulate(EXAMPLES / "digit.png", tmp_path / "0.bin")
    recording = (tmp_path / "0.bin").read_bytes()
    t, _, _, p = read_events(recording, "nmnist", max_events=100_000).T
    async with serving(ROOT / "model_store", preload=("nmnist-stl",), data_dir=tmp_path / "data") as client:
        answer = await client.post(
            "/v1/models/nmnist-stl/predict?format=nmnist",
            content=recording,
            headers={"Content-Type": "application/octet-stream"},
        )

    assert printed == f"{len(t)} events in {t[-1] / 1000:.0f} ms\n"
    assert (np.histogram(t, bins=3, range=(0, 300_000))[0] > 1000).all()  # three saccades of 100 ms
    assert abs(p.mean() - 0.5) < 0.05  # what gets brighter gets darker again
    shipped = pixels((EXAMPLES / "recording.bin").read_bytes())
    assert np.abs(pixels(recording) - shipped).sum() < 0.02 * shipped.sum()
    assert answer.json()["predictions"][0]["label"] == "0"


def test_a_picture_of_one_brightness_moves_at_its_edges_alone(tmp_path: Path) -> None:
    Image.new("L", (28, 28), 255).save(tmp_path / "white.png")
    simulate(tmp_path / "white.png", tmp_path / "white.bin")
    counts = pixels((tmp_path / "white.bin").read_bytes())

    assert counts.sum() > 0
    assert counts[6:28, 6:28].sum() == 0
