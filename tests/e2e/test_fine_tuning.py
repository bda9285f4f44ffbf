"""Fine-tuning as its users see it: OpenAI's own client against a service and a worker of their own processes."""

import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from openai.types.fine_tuning import FineTuningJob
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from tests.e2e.jobs import MODEL, World, until
from tests.hostile.server import Server, started
from tests.service.process import ROOT, environment

TRAINED_ON = 400


@pytest.fixture
def server(world: World) -> Iterator[Server]:
    """A service of the world."""
    settings = {name.removeprefix("SNN_"): value for name, value in world.settings().items() if name[:4] == "SNN_"}
    world.data.mkdir(parents=True, exist_ok=True)
    with started(world.data / "service.log", **(settings | {"POLL_SECONDS": "0.2", "PRELOAD": MODEL})) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="any") as opened:
        yield opened


def turned_digits() -> tuple[np.ndarray, np.ndarray]:
    """Digits turned by 90 degrees, uint8 `[N, 8, 8]`, and their classes."""
    values, targets = load_digits(return_X_y=True)
    pixels = np.round(values * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)
    return np.rot90(pixels, axes=(1, 2)), targets


def data_set(samples: int = TRAINED_ON) -> bytes:
    pixels, targets = turned_digits()
    buffer = io.BytesIO()
    np.savez(buffer, x=pixels[:samples], y=targets[:samples])
    return buffer.getvalue()


def accuracy(server: Server, version: int) -> float:
    """On turned digits that no job has seen, over HTTP."""
    pixels, targets = turned_digits()
    part = slice(TRAINED_ON, TRAINED_ON + 200)
    answer = httpx.post(
        f"http://127.0.0.1:{server.port}/v1/models/{MODEL}/predict",
        params={"version": version},
        json={"inputs": [{"pixels": image.tolist()} for image in pixels[part]]},
        timeout=60,
    )
    found = [prediction["class_id"] for prediction in answer.raise_for_status().json()["predictions"]]
    return float(np.mean(np.array(found) == targets[part]))


def ended(client: openai.OpenAI, identity: str) -> FineTuningJob:
    until(lambda: client.fine_tuning.jobs.retrieve(identity).finished_at is not None, every=0.1)
    return client.fine_tuning.jobs.retrieve(identity)


def messages(server: Server, job: str) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """The messages of the job's stream, with the id of each that has one, until the service ends it."""
    url = f"http://127.0.0.1:{server.port}/v1/fine_tuning/jobs/{job}/events"
    with httpx.stream("GET", url, headers={"Accept": "text/event-stream"}, timeout=60) as answer:
        identity = None
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                identity = value
            elif name == "data":
                yield identity, json.loads(value)
                identity = None


def test_openais_client_fine_tunes_a_model(world: World, server: Server, client: openai.OpenAI) -> None:
    file = client.files.create(file=("turned.npz", data_set()), purpose="fine-tune")
    assert (file.status, file.filename, file.bytes) == ("processed", "turned.npz", len(data_set()))
    assert [each.id for each in client.files.list()] == [file.id]
    assert client.files.content(file.id).read() == data_set()

    job = client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=file.id,
        seed=3,
        metadata={"team": "red"},
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 8, "batch_size": 20, "learning_rate_multiplier": "auto"}},
        },
        extra_body={"promote": "if_better", "priority": 5},
    )
    assert (job.object, job.status, job.seed, job.metadata) == ("fine_tuning.job", "queued", 3, {"team": "red"})
    assert (job.hyperparameters.n_epochs, job.hyperparameters.learning_rate_multiplier) == (8, 1.0)
    second = client.fine_tuning.jobs.create(model=f"{MODEL}/2", training_file=file.id, suffix="later")
    assert [each.id for each in client.fine_tuning.jobs.list(limit=1)] == [second.id, job.id]  # page by page
    assert [each.id for each in client.fine_tuning.jobs.list(metadata={"team": "red"})] == [job.id]
    assert client.fine_tuning.jobs.cancel(second.id).status == "cancelled"

    with world.worker():
        told = list(messages(server, job.id))
        finished = client.fine_tuning.jobs.retrieve(job.id)
        assert (finished.status, finished.fine_tuned_model, finished.error) == ("succeeded", f"{MODEL}/3", None)
        after = accuracy(server, 3)  # at once, and without a restart
    assert after > accuracy(server, 1) + 0.3
    assert httpx.get(f"http://127.0.0.1:{server.port}/v1/models/{MODEL}").json()["default_version"] == 3

    events = list(client.fine_tuning.jobs.list_events(job.id, limit=3))
    assert [identity for identity, _ in told if identity] == [event.id for event in events][::-1]
    assert len([event for event in events if event.type == "metrics"]) == 8
    assert told[-1][1]["status"] == "succeeded"
    assert "running" in [message["status"] for _, message in told if message["object"] == "fine_tuning.job"]
    [checkpoint] = client.fine_tuning.jobs.checkpoints.list(job.id)
    assert checkpoint.fine_tuned_model_checkpoint == f"{MODEL}/3"

    assert client.files.delete(file.id).deleted
    assert list(client.files.list()) == []


def test_a_running_job_is_cancelled_and_resumed(world: World, server: Server, client: openai.OpenAI) -> None:
    file = client.files.create(file=("turned.npz", data_set()), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model=MODEL, training_file=file.id, hyperparameters={"n_epochs": 12})
    with world.worker():
        until(lambda: world.epochs(job.id))
        assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
        done = len(world.epochs(job.id))
        assert list(messages(server, job.id))[-1][1]["status"] == "cancelled"
        resumed = client.post(f"/fine_tuning/jobs/{job.id}/resume", cast_to=FineTuningJob)
        assert resumed.status in ("queued", "running")
        assert ended(client, job.id).status == "succeeded"
    epochs = world.epochs(job.id)
    assert epochs == list(range(1, 13))  # none of them twice
    assert done >= 1
    assert max(world.attempts(job.id)) >= 2


def example(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "examples/fine_tune.py", *options]
    surroundings = environment() | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=240, check=False)


def test_the_example_shows_both_accuracies(world: World, server: Server) -> None:
    with world.worker():
        done = example("--url", f"http://127.0.0.1:{server.port}", "--model", MODEL, "--epochs", "6")
    assert done.returncode == 0, done.stderr
    before, after = (float(number) for number in re.findall(rf"{MODEL}/\d +([\d.]+)%", done.stdout))
    assert after > before + 30
    assert "succeeded" in done.stdout


def test_the_example_says_that_there_is_no_service() -> None:
    done = example("--url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr == "no service at http://127.0.0.1:1; start it first: make serve\n"


def test_the_clients_errors_are_told_at_once(world: World, client: openai.OpenAI) -> None:
    started_at = time.monotonic()
    with pytest.raises(openai.NotFoundError) as missing:
        client.fine_tuning.jobs.retrieve("ftjob-1")
    assert missing.value.code == "job_not_found"
    with pytest.raises(openai.UnprocessableEntityError) as broken:
        client.files.create(file=("a.zip", b"no archive"), purpose="fine-tune")
    assert broken.value.code == "invalid_dataset"
    file = client.files.create(file=("turned.npz", data_set()), purpose="fine-tune")
    with pytest.raises(openai.UnprocessableEntityError) as unknown:
        client.fine_tuning.jobs.create(model=MODEL, training_file=file.id, extra_body={"promot": "always"})
    assert unknown.value.param == "promot"
    job = client.fine_tuning.jobs.create(model=MODEL, training_file=file.id)
    client.fine_tuning.jobs.cancel(job.id)
    with pytest.raises(openai.ConflictError) as ended_already:
        client.fine_tuning.jobs.cancel(job.id)
    assert ended_already.value.code == "job_not_cancellable"
    key = {"Idempotency-Key": "one"}
    again = [client.fine_tuning.jobs.create(model=MODEL, training_file=file.id, extra_headers=key).id for _ in "ab"]
    assert again[0] == again[1]
    assert time.monotonic() - started_at < 20
