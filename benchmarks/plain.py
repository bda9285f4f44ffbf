"""What the service is compared with: FastAPI routes without queue, registry or metrics. `python -m benchmarks.plain`.

`/plain` reads the body and answers with a fixed prediction, as a typed FastAPI route does; `/forward` decodes the image
and runs the network in the route, one at a time.
"""

import argparse
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic_core import to_json

from contract.card import Card
from contract.energy import PROFILES
from contract.images import read_image
from contract.settings import Settings
from service.engine.device import CPU
from service.engine.interface import Activity, ImageSample
from service.engine.load import load_engine
from service.inference.bodies import PredictAnswer, Timing
from service.inference.decode import Decoded
from service.inference.options import PredictOptions, ResolvedOptions, resolve
from service.inference.prediction import build_prediction

TIMING: Timing = {"queue_ms": 0.0, "compute_ms": 0.0, "total_ms": 0.0, "batch_size": 1}
_UNCONVERTED = Decoded(ImageSample(np.zeros((1, 1, 1), np.uint8)), None)


def default_options(card: Card) -> ResolvedOptions:
    """The options of a request that names none."""
    return resolve(PredictOptions(), card.name, card, Settings.model_construct(), PROFILES)


def answer_of(activity: Activity, options: ResolvedOptions) -> PredictAnswer:
    """The service's answer to one image, without the work of its queue and its decoding."""
    prediction = build_prediction(0, _UNCONVERTED, [activity], None, options)
    return {"id": "plain", "model": options.model, "version": 1, "predictions": [prediction], "timing": TIMING}


def build(path: Path) -> FastAPI:
    """An app over one checkpoint."""
    checkpoint = load_engine(path, CPU, threads=1)
    card = checkpoint.card
    options = default_options(card)
    app = FastAPI()

    def answer(image: ImageSample) -> PredictAnswer:
        return answer_of(checkpoint.run([image])[0], options)

    ready = answer(ImageSample(np.zeros(card.input.shape, np.uint8)))

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/plain")
    async def plain(request: Request) -> PredictAnswer:
        await request.body()
        return ready

    @app.post("/forward")
    async def forward(request: Request) -> Response:
        image = read_image(await request.body(), card.input, max_pixels=1_000_000)
        return Response(to_json(answer(ImageSample(image.pixels))), media_type="application/json")

    return app


def main() -> None:
    """Serve the routes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(build(options.checkpoint), port=options.port, loop="uvloop", http="httptools", access_log=False)


if __name__ == "__main__":
    main()
