"""Fine-tune a served model, over HTTP, on data that it gets wrong: digits turned by 90 degrees.

    make serve                       # in another terminal
    python examples/fine_tune.py

Uploads scikit-learn's digits, turned, as a zip archive of PNG files, starts a fine-tuning job and follows it. Then asks
the old and the new version about the same turned test images. `--url` names another service, and SNN_API_KEY in the
environment is its API key.
"""

import argparse
import io
import sys
import zipfile

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

from stl_snn_client import Client, ServiceUnreachable, SnnError
from stl_snn_client.answers import Job

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


def accuracy(client: Client, model: str, pixels: Pixels, targets: Targets) -> float:
    """The share of images that a model, `name/version` or name, classifies correctly."""
    name, _, version = model.partition("/")
    right = 0
    for start in range(0, len(pixels), IMAGES_A_REQUEST):
        part = slice(start, start + IMAGES_A_REQUEST)
        answer = client.predict(name, *map(png, pixels[part]), version=int(version) if version else None)
        labels = [prediction["label"] for prediction in answer["predictions"]]
        right += sum(label == str(target) for label, target in zip(labels, targets[part], strict=True))
    return right / len(pixels)


def fine_tune(client: Client, model: str, pixels: Pixels, targets: Targets, epochs: int | None) -> Job:
    """Upload, start a job, print its events, and return the job when it has ended."""
    uploaded = client.files.upload(archive(pixels, targets), filename="turned-digits.zip")
    dataset = uploaded["dataset"]
    print(f"uploaded {uploaded['id']}: {dataset['samples']} images in {len(dataset['classes'])} classes")
    job = client.fine_tune.create(model, uploaded["id"], n_epochs=epochs or "auto")
    print(f"job {job['id']}: {job['hyperparameters']['n_epochs']} epochs")
    for message in client.fine_tune.events(job["id"]):
        if message["object"] == "fine_tuning.job":
            job = message
            place = f", position {job['queue_position']}" if job["status"] == "queued" else ""
            print(f"  {job['status']}{place}")
        elif message["type"] == "metrics" or message["data"].get("kind") != "progress":
            print(f"  {message['message']}")
    return job


def main() -> None:
    """Compare the model before and after."""
    parser = argparse.ArgumentParser(description="Fine-tune a served model on turned digits.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the service [http://127.0.0.1:8000]")
    parser.add_argument("--model", default="digits-stl", help="model to fine-tune: name or name/version [digits-stl]")
    parser.add_argument("--epochs", type=int, help="number of epochs [chosen by the size of the data]")
    options = parser.parse_args()
    train, train_targets, test, test_targets = turned_digits()
    try:
        with Client(options.url) as client:
            before = accuracy(client, options.model, test, test_targets)
            print(f"{options.model} classifies {before:.2%} of {len(test)} turned digits correctly")
            job = fine_tune(client, options.model, train, train_targets, options.epochs)
            if job["status"] != "succeeded" or job["fine_tuned_model"] is None:
                reason = job["error"]["message"] if job["error"] else job["status"]
                sys.exit(f"the job did not succeed: {reason}")
            after = accuracy(client, job["fine_tuned_model"], test, test_targets)
            print(f"accuracy on {len(test)} turned digits that were not used for training:")
            print(f"  {job['model']:16} {before:7.2%}")
            print(f"  {job['fine_tuned_model']:16} {after:7.2%}")
    except ServiceUnreachable:
        sys.exit(f"no service at {options.url}; start it first: make serve")
    except SnnError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
