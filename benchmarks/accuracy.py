"""Accuracy of the shipped models through HTTP, on the whole test part of each data set.

    python -m benchmarks.accuracy --data-dir DATA [--url http://127.0.0.1:8000] [MODEL ...]

Sends every test image as a PNG and every test recording as lists of events, sixteen requests at a time, to a running
service, and prints what came back beside what the model's card says. Exits with 1 where the two differ.
"""

import argparse
import asyncio
import io
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from training.data import Images, load_dataset

MODELS = ("digits-stl", "mnist-stl", "fashion-stl", "nmnist-stl")
AT_A_TIME = 16


def requests_for(samples: Any) -> Iterator[dict[str, Any]]:
    """The body of one request for each sample."""
    if isinstance(samples, Images):
        for pixels in samples.pixels.numpy():
            buffer = io.BytesIO()
            Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(buffer, "PNG")
            yield {"content": buffer.getvalue(), "headers": {"Content-Type": "image/png"}}
        return
    for index in range(len(samples)):
        t, x, y, p = samples[index].T.tolist()
        yield {"json": {"inputs": [{"events": {"t": t, "x": x, "y": y, "p": p}}]}}


async def answers(client: httpx.AsyncClient, model: str, samples: Any) -> AsyncIterator[dict[str, Any]]:
    """The predictions in the order of the samples."""
    slots = asyncio.Semaphore(AT_A_TIME)

    async def ask(request: dict[str, Any]) -> dict[str, Any]:
        async with slots:
            response = await client.post(f"/v1/models/{model}/predict", **request)
            response.raise_for_status()
            prediction: dict[str, Any] = response.json()["predictions"][0]
            return prediction

    pending: list[asyncio.Task[dict[str, Any]]] = []
    for request in requests_for(samples):
        pending.append(asyncio.create_task(ask(request)))
        if len(pending) == 4 * AT_A_TIME:
            for answer in await asyncio.gather(*pending):
                yield answer
            pending = []
    for answer in await asyncio.gather(*pending):
        yield answer


async def measure(client: httpx.AsyncClient, model: str, data_dir: Path | None) -> bool:
    """Print one model's row; returns whether the accuracy is what its card says."""
    versions = (await client.get(f"/v1/models/{model}")).raise_for_status().json()
    version = versions["default_version"]
    card = (await client.get(f"/v1/models/{model}/versions/{version}")).raise_for_status().json()["card"]
    samples = load_dataset(card["learning"]["dataset"], data_dir, download=False).test
    right, spikes, energy = 0, 0, 0.0
    started = time.perf_counter()
    labels = iter(samples.labels.tolist())
    async for answer in answers(client, model, samples):
        right += answer["class_id"] == next(labels)
        spikes += answer["spikes"]["total"]
        energy += answer["energy"]["estimate_nj"]
    seconds = time.perf_counter() - started
    count = len(samples)
    promised = card["metrics"]["accuracy"]
    print(
        f"{model}/{version}: {right / count:.2%} of {count} (card {promised:.2%}), {spikes / count:,.1f} spikes and "
        f"{energy / count:,.1f} nJ per sample, {count / seconds:,.0f} requests per second",
        flush=True,
    )
    return bool(abs(right / count - promised) < 0.5 / count)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL", help=f"default: {' '.join(MODELS)}")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="default: %(default)s")
    parser.add_argument("--data-dir", type=Path, help="folder with mnist/, fashion/ and nmnist/")
    options = parser.parse_args()
    key = os.environ.get("SNN_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(base_url=options.url, headers=headers, timeout=60) as client:
        agreed = [await measure(client, model, options.data_dir) for model in options.models]
    return 0 if all(agreed) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
