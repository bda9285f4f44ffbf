"""Classify images or event recordings in Python, without a server.

python examples/predict.py digits-stl examples/digit.png
python examples/predict.py nmnist-stl examples/recording.bin --format nmnist
"""

import argparse
import asyncio
from pathlib import Path

from service.inference.options import PredictOptions
from service.inference.predictor import Predictor


async def main() -> None:
    """Print the label, the spikes and the estimated energy of each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name of a model in the store")
    parser.add_argument("files", nargs="+", type=Path, help="images, or recordings for an event model")
    parser.add_argument("--format", help="format of the recordings; by default detected from their content")
    parser.add_argument("--store", action="append", default=[], help="folder of models; may be given more than once")
    arguments = parser.parse_args()

    files = [path.read_bytes() for path in arguments.files]
    async with Predictor.open(*arguments.store) as predictor:
        response = await predictor.predict(arguments.model, files, PredictOptions(format=arguments.format))
    for path, prediction in zip(arguments.files, response["predictions"], strict=True):
        spikes, energy = prediction["spikes"]["total"], prediction["energy"]
        estimate = f"{energy['estimate_nj']:.1f} nJ (operations, {energy['profile']})"
        print(f"{path}: {prediction['label']}, {spikes} spikes, {estimate}")


if __name__ == "__main__":
    asyncio.run(main())
