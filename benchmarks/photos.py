"""How many drawn photos of digits `mnist-stl` reads, with and without `invert` and `background`.

    python -m benchmarks.photos [--seeds 1000 1100]

The photos are those of `tests/drawn_photos.py`, ten a seed, a fifth of them chalk on a board. They were not used to
develop `invert` and `background`.
"""

import argparse
import asyncio

from service.inference.options import PredictOptions
from service.inference.predictor import Predictor
from tests.drawn_photos import drawn_photo

OPTIONS = {
    "none": PredictOptions(),
    "invert=auto": PredictOptions(invert="auto"),
    "invert=auto&fit=pad": PredictOptions(invert="auto", fit="pad"),
    "invert=auto&background=auto": PredictOptions(invert="auto", background="auto"),
}


async def main() -> None:
    """Print a row for each set of options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mnist-stl", help="a model of images of ten digits (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs=2, default=(1000, 1100), metavar=("FIRST", "END"))
    arguments = parser.parse_args()
    photos = [(digit, seed) for seed in range(*arguments.seeds) for digit in range(10)]
    data = [drawn_photo(digit, seed, chalk=seed % 5 == 4) for digit, seed in photos]
    async with Predictor.open("model_store", preload=(arguments.model,)) as predictor:
        for name, options in OPTIONS.items():
            right = 0
            for start in range(0, len(data), 50):
                answer = await predictor.predict(arguments.model, data[start : start + 50], options)
                found = [prediction["class_id"] for prediction in answer["predictions"]]
                right += sum(one == digit for one, (digit, _) in zip(found, photos[start:], strict=False))
            print(f"{name:30}{right:5} of {len(data)}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
