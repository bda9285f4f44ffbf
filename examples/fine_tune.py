"""Fine-tune a served model, over HTTP, on data that it gets wrong: digits turned by 90 degrees.

    make serve                       # in another terminal
    python examples/fine_tune.py

Uploads scikit-learn's digits, turned, as a zip archive of PNG files, starts a fine-tuning job and follows it. Then asks
the old and the new version about the same turned test images. `--url` names another service, and SNN_API_KEY in the
environment is its API key.
"""

import argparse
import io
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

TEST_SAMPLES = 360
IMAGES_A_REQUEST = 60
Pixels = NDArray[np.uint8]
Targets = NDArray[np.int64]


def turned_digits() -> tuple[Pixels, Targets, Pixels, Targets]:
    """Digits turned by 90 degrees, uint8 `[N, 8, 8]`, and their classes: a training part, then a test part."""
    values, targets = load_digits(return_X_y=True)
    pixels = np.round(values * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)
    turned = np.rot90(pixels, axes=(1, 2))
    parts = train_test_split(turned, targets, test_size=TEST_SAMPLES, random_state=0, stratify=targets)
    train, test, train_targets, test_targets = parts
    return train, train_targets, test, test_targets


def png(pixels: Pixels) -> bytes:
    """One image as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def archive(pixels: Pixels, targets: Targets) -> bytes:
    """A zip archive with one folder per class: `3/17.png`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for index, (image, target) in enumerate(zip(pixels, targets, strict=True)):
            opened.writestr(f"{target}/{index}.png", png(image))
    return buffer.getvalue()


def call(client: httpx.Client, method: str, path: str, **more: Any) -> Any:
    """The JSON of a response; an error ends the program with the service's message."""
    response = client.request(method, path, **more)
    if response.is_error:
        sys.exit(f"{method} {path}: {response.status_code}: {message_of(response)}")
    return response.json()


def message_of(response: httpx.Response) -> str:
    """The message of an error response."""
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]


def accuracy(client: httpx.Client, model: str, pixels: Pixels, targets: Targets) -> float:
    """The share of images that a model, `name/version` or name, classifies correctly."""
    name, _, version = model.partition("/")
    right = 0
    for start in range(0, len(pixels), IMAGES_A_REQUEST):
        part = slice(start, start + IMAGES_A_REQUEST)
        files = [("file", (f"{index}.png", png(image))) for index, image in enumerate(pixels[part])]
        response = call(
            client, "POST", f"/v1/models/{name}/predict", files=files, params={"version": version} if version else {}
        )
        labels = [prediction["label"] for prediction in response["predictions"]]
        right += sum(label == str(target) for label, target in zip(labels, targets[part], strict=True))
    return right / len(pixels)


def follow(client: httpx.Client, job: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield kind and content of each message of the job's stream; a broken stream continues where it stopped."""
    last = ""
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        try:
            with client.stream("GET", f"/v1/fine_tuning/jobs/{job}/events", headers=headers, timeout=60) as response:
                if response.is_error:
                    response.read()
                    sys.exit(f"the events of {job}: {response.status_code}: {message_of(response)}")
                kind = ""
                for line in response.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        last = value
                    elif name == "event":
                        kind = value
                    elif name == "data":
                        content = json.loads(value)
                        yield kind, content
                        if kind == "fine_tuning.job" and content["finished_at"] is not None:
                            return
        except httpx.TransportError as error:
            print(f"  the stream was interrupted ({error}); reconnecting")


def fine_tune(client: httpx.Client, model: str, pixels: Pixels, targets: Targets, epochs: int | None) -> dict[str, Any]:
    """Upload, start a job, print its events, and return the job when it has ended."""
    files = {"file": ("turned-digits.zip", archive(pixels, targets), "application/zip")}
    uploaded = call(client, "POST", "/v1/files", files=files, data={"purpose": "fine-tune"}, timeout=300)
    dataset = uploaded["dataset"]
    print(f"uploaded {uploaded['id']}: {dataset['samples']} images in {len(dataset['classes'])} classes")
    hyperparameters = {"n_epochs": epochs or "auto"}
    body = {
        "model": model,
        "training_file": uploaded["id"],
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
    }
    job: dict[str, Any] = call(client, "POST", "/v1/fine_tuning/jobs", json=body)
    print(f"job {job['id']}: {job['hyperparameters']['n_epochs']} epochs")
    for kind, content in follow(client, job["id"]):
        if kind == "fine_tuning.job":
            job = content
            place = f", position {job['queue_position']}" if job["status"] == "queued" else ""
            print(f"  {job['status']}{place}")
        elif content["type"] == "metrics" or content["data"].get("kind") != "progress":
            print(f"  {content['message']}")
    return job


def main() -> None:
    """Compare the model before and after."""
    parser = argparse.ArgumentParser(description="Fine-tune a served model on turned digits.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the service [http://127.0.0.1:8000]")
    parser.add_argument("--model", default="digits-stl", help="model to fine-tune: name or name/version [digits-stl]")
    parser.add_argument("--epochs", type=int, help="number of epochs [chosen by the size of the data]")
    options = parser.parse_args()
    key = os.environ.get("SNN_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    train, train_targets, test, test_targets = turned_digits()
    try:
        with httpx.Client(base_url=options.url, headers=headers, timeout=60) as client:
            before = accuracy(client, options.model, test, test_targets)
            print(f"{options.model} classifies {before:.2%} of {len(test)} turned digits correctly")
            job = fine_tune(client, options.model, train, train_targets, options.epochs)
            if job["status"] != "succeeded":
                reason = job["error"]["message"] if job["error"] else job["status"]
                sys.exit(f"the job did not succeed: {reason}")
            after = accuracy(client, job["fine_tuned_model"], test, test_targets)
            print(f"accuracy on {len(test)} turned digits that were not used for training:")
            print(f"  {job['model']:16} {before:7.2%}")
            print(f"  {job['fine_tuned_model']:16} {after:7.2%}")
    except httpx.ConnectError:
        sys.exit(f"no service at {options.url}; start it first: make serve")
    except httpx.TransportError as error:
        sys.exit(f"the connection to {options.url} failed: {error}")


if __name__ == "__main__":
    main()
