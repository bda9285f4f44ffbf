"""The whole straight line as a user walks it: train, be served without a restart, ask, promote, go back, restart."""

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from PIL import Image

from tests.e2e.jobs import until
from tests.service.process import ROOT, environment, started
from training.data import Images, load_dataset


def train(store: Path, run: Path, *options: str) -> str:
    command = [sys.executable, "-m", "training", "train", "--preset", "digits-stl", "--name", "mine"]
    places = ["--store", str(store), "--run-dir", str(run)]
    small = ["--network", "FC32-VOTE2", "--batch-size", "20"]
    done = subprocess.run(
        [*command, *places, *small, *options], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    return done.stdout


@contextmanager
def service(store: Path, log: Path) -> Iterator[httpx.Client]:
    with started(log, MODEL_STORE=str(store), POLL_SECONDS="0.2") as (process, address):
        with httpx.Client(base_url=address, timeout=60) as client:
            until(lambda: client.get("/health/ready").status_code == 200)
            yield client
        process.terminate()
        process.wait(30)


def png(pixels: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")  # type: ignore[arg-type]
    return buffer.getvalue()


def accuracy(client: httpx.Client, samples: Images, version: int | None = None) -> float:
    """Accuracy over HTTP, forty images in a form at a time."""
    right = 0
    for start in range(0, len(samples), 40):
        part = range(start, min(start + 40, len(samples)))
        files = [("file", (f"{index}.png", png(samples.pixels[index, 0].numpy()))) for index in part]
        answer = client.post(
            "/v1/models/mine/predict", files=files, params={} if version is None else {"version": version}
        )
        predictions = answer.raise_for_status().json()["predictions"]
        right += sum(
            prediction["class_id"] == label
            for prediction, label in zip(predictions, samples.labels[part].tolist(), strict=True)
        )
    return right / len(samples)


def test_from_training_to_an_answer_and_back_to_the_version_before(tmp_path: Path) -> None:
    store, test_part = tmp_path / "store", load_dataset("digits").test
    assert isinstance(test_part, Images)
    assert "published mine/1" in train(store, tmp_path / "run", "--epochs", "1")

    with service(store, tmp_path / "log") as client:
        first = client.get("/v1/models/mine/versions/1").json()["card"]["metrics"]["accuracy"]
        assert accuracy(client, test_part) == first

        assert "published mine/2" in train(store, tmp_path / "run", "--epochs", "8")
        until(lambda: len(client.get("/v1/models/mine").json()["versions"]) == 2)
        second = client.get("/v1/models/mine/versions/2").json()["card"]["metrics"]["accuracy"]
        assert second > first
        assert accuracy(client, test_part, version=2) == second
        assert client.get("/v1/models/mine").json()["default_version"] == 1

        promoted = client.put("/v1/models/mine/default", json={"version": 2, "expected": 1}).json()
        assert (promoted["default_version"], promoted["previous_default_version"]) == (2, 1)
        assert accuracy(client, test_part) == second

    with service(store, tmp_path / "log") as client:  # the choice survives a restart
        assert client.get("/v1/models/mine").json()["default_version"] == 2
        client.put("/v1/models/mine/default", json={"version": 1, "expected": 2}).raise_for_status()
        assert accuracy(client, test_part) == first
