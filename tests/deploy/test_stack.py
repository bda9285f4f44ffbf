"""`docker compose up`, used from outside, and what it outlives."""

import io
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from tests.deploy.containers import ROOT, Stack, until

pytestmark = pytest.mark.deploy

JOBS = "/v1/fine_tuning/jobs"


def upload(stack: Stack) -> str:
    """Upload digits turned by 90 degrees; returns the file's id."""
    values, targets = load_digits(return_X_y=True)
    pixels = np.rot90(np.round(values * 255 / 16).astype(np.uint8).reshape(-1, 8, 8), axes=(1, 2))[:600]
    buffer = io.BytesIO()
    np.savez(buffer, x=pixels, y=targets[:600])
    files = {"file": ("digits.npz", buffer.getvalue())}
    return str(
        stack.client.post("/v1/files", files=files, data={"purpose": "fine-tune"}).raise_for_status().json()["id"]
    )


def submit(stack: Stack, **fields: Any) -> str:
    """Ask for a fine-tuning of `digits-stl`; returns the job's id."""
    epochs = fields.pop("n_epochs", 1)
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs}}}
    body = {"model": "digits-stl", "training_file": upload(stack), "method": method} | fields
    return str(stack.client.post(JOBS, json=body).raise_for_status().json()["id"])


def job(stack: Stack, identity: str) -> Any:
    return stack.get(f"{JOBS}/{identity}")


def ended(stack: Stack, identity: str) -> Any:
    """The job, once it has succeeded."""
    until(lambda: job(stack, identity)["status"] not in ("queued", "running"), patience=300)
    found = job(stack, identity)
    assert found["status"] == "succeeded", found
    return found


def trained(stack: Stack, identity: str, epochs: int) -> None:
    """Wait until a job has finished some epochs and goes on."""
    until(lambda: job(stack, identity)["progress"]["epoch"] >= epochs)
    assert job(stack, identity)["status"] == "running"


def predict(stack: Stack, **query: Any) -> Any:
    return stack.predict_image(**query).raise_for_status().json()


def test_an_image_and_a_recording_are_predicted(stack: Stack) -> None:
    image = predict(stack)
    assert (image["model"], image["version"]) == ("digits-stl", 1)
    assert image["predictions"][0]["label"] == "0"
    assert image["predictions"][0]["spikes"]["total"] == 2641
    recording = stack.predict_recording().raise_for_status().json()
    assert recording["predictions"][0]["label"] == "0"
    assert recording["predictions"][0]["spikes"]["total"] == 48213


@pytest.mark.parametrize("service", ["api", "worker"])
def test_the_containers_have_no_more_rights_than_they_need(stack: Stack, service: str) -> None:
    container = stack.container(service)
    assert stack.tool.inspect(container, "{{.HostConfig.ReadonlyRootfs}}") == "true"
    assert int(stack.tool.inspect(container, "{{.HostConfig.Memory}}")) > 0
    assert int(stack.tool.inspect(container, "{{.HostConfig.NanoCpus}}")) > 0
    status = stack.tool.run("exec", container, "cat", "/proc/1/status")
    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert found["Uid"].split() == ["10001"] * 4
    assert int(found["CapBnd"], 16) == 0
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"


def test_a_fine_tuned_version_is_served_and_promoted(stack: Stack) -> None:
    found = ended(stack, submit(stack, promote="always"))
    name, version = found["fine_tuned_model"].split("/")
    assert name == "digits-stl"
    until(lambda: stack.get("/v1/models/digits-stl")["default_version"] == int(version), patience=10)
    assert predict(stack)["version"] == int(version)
    assert predict(stack, version=1)["version"] == 1


def test_a_killed_api_comes_back(stack: Stack) -> None:
    before = stack.get("/v1/models")
    print(f"\nfrom `kill -9` of the api to healthy: {stack.kill('api'):.1f} s")
    assert predict(stack)["predictions"]
    until(lambda: [one["default_version"] for one in stack.get("/v1/models")["data"]] == defaults(before))


def defaults(models: Any) -> list[int]:
    return [one["default_version"] for one in models["data"]]


def test_a_killed_worker_comes_back_and_goes_on_with_its_job(stack: Stack) -> None:
    identity = submit(stack, n_epochs=30)
    trained(stack, identity, 2)
    start = time.monotonic()
    stack.kill("worker")
    epoch = job(stack, identity)["progress"]["epoch"]
    until(lambda: job(stack, identity)["progress"]["epoch"] > epoch)
    print(f"\nfrom `kill -9` of the worker to the next epoch of its job: {time.monotonic() - start:.1f} s")
    assert ended(stack, identity)["attempt"] == 2
    told = stack.get(f"{JOBS}/{identity}/events", params={"limit": 100})["data"]
    epochs = [event["data"]["epoch"] for event in reversed(told) if event["type"] == "metrics"]
    assert sorted(set(epochs)) == list(range(1, 31))
    assert len(epochs) <= 31, "what was saved was trained once more"


def test_down_and_up_lose_nothing(stack: Stack) -> None:
    identity = submit(stack, n_epochs=30)
    trained(stack, identity, 2)
    models, files, answer = stack.get("/v1/models"), stack.get("/v1/files"), predict(stack)
    jobs = {each["id"]: each["status"] for each in stack.get(JOBS)["data"]}
    start = time.monotonic()
    stack.down()
    print(f"\n`down` with a job under way: {time.monotonic() - start:.1f} s")
    with pytest.raises(httpx.TransportError):
        stack.client.get("/health/live")
    print(f"from `up` to healthy: {stack.up():.1f} s")
    assert stack.get("/v1/files") == files
    assert defaults(stack.get("/v1/models")) == defaults(models)
    assert predict(stack)["predictions"] == answer["predictions"]
    assert ended(stack, identity)["progress"]["epoch"] == 30
    after = {each["id"]: each["status"] for each in stack.get(JOBS)["data"]}
    assert after == jobs | {identity: "succeeded"}


def test_what_was_accepted_is_answered_before_the_api_leaves(stack: Stack) -> None:
    recording = (ROOT / "examples" / "recording.bin").read_bytes()
    files = [("file", (f"{number}.bin", recording)) for number in range(32)]
    accepted = 12

    def ask() -> int:
        with httpx.Client(base_url=stack.url, timeout=60) as client:
            answer = client.post("/v1/models/nmnist-stl/predict", params={"format": "nmnist"}, files=files)
        return len(answer.raise_for_status().json()["predictions"])

    with ThreadPoolExecutor(accepted) as pool:
        asked = [pool.submit(ask) for _ in range(accepted)]
        until(lambda: waiting(stack) >= accepted / 2)
        start = time.monotonic()
        stack.compose("stop", "api")
        print(f"\n`stop` of the api under load: {time.monotonic() - start:.1f} s")
        assert [one.result() for one in asked] == [32] * accepted
    assert stack.tool.inspect(stack.container("api"), "{{.State.ExitCode}}") == "0"
    stack.up()


def waiting(stack: Stack) -> float:
    """How many requests wait, as the metrics tell."""
    lines = stack.client.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("snn_queue_depth "))


def test_keys_come_from_a_file_that_only_the_containers_see(stack: Stack) -> None:
    """Last in this module: from here on the service wants a key."""
    (stack.folder / "deploy" / "secrets" / "api_keys").write_text("a-secret-key\n")
    port = stack.url.rpartition(":")[2]
    stack.down()
    stack.set(IMAGE="stl-snn:test", SNN_PORT=port, SNN_API_KEYS_FILE="/run/secrets/api_keys")
    stack.up()
    assert stack.client.get("/v1/models").status_code == 401
    assert stack.client.get("/v1/models", headers={"Authorization": "Bearer a-secret-key"}).status_code == 200
    assert "a-secret-key" not in stack.tool.inspect(stack.container("api"), "{{json .}}")
    assert "a-secret-key" not in stack.logs("api")
