"""What the service is compared with: the same checkpoint in LitServe, batched. `python -m benchmarks.lit`.

LitServe reads the body in one process, and decodes, runs and answers in another, with batches of up to 32 that wait for
more for a millisecond at most. Its queues are the faster of its two kinds, ZeroMQ.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import litserve
from fastapi import Body, Response
from pydantic_core import to_json

from benchmarks.plain import answer_of, default_options
from contract.images import read_image
from service.engine.device import CPU
from service.engine.interface import Activity, ImageSample
from service.engine.load import load_engine

MAX_BATCH_SIZE = 32
BATCH_SECONDS = 0.001


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    """An image in, the service's answer out."""

    def __init__(self, path: Path) -> None:
        super().__init__(max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_SECONDS)
        self.path = path

    def setup(self, device: str) -> None:
        """Load the checkpoint, in the process that runs it."""
        self.checkpoint = load_engine(self.path, CPU, threads=1)
        self.options = default_options(self.checkpoint.card)

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/png")]) -> ImageSample:
        """Decode one body, as the service does."""
        return ImageSample(read_image(request, self.checkpoint.card.input, max_pixels=1_000_000).pixels)

    def predict(self, samples: Sequence[ImageSample]) -> list[Activity]:
        """Run a batch."""
        return self.checkpoint.run(samples)

    def encode_response(self, activity: Activity) -> Response:
        """The answer to one request of the batch, in bytes, which is the least that LitServe can hand on."""
        return Response(to_json(answer_of(activity, self.options)), media_type="application/json")


def main() -> None:
    """Serve the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    server = litserve.LitServer(Classifier(options.checkpoint), accelerator="cpu", devices=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=options.port,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main()
