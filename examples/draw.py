"""Draw one prediction as a picture: the recording, the network's spikes, its votes and its energy.

    python examples/draw.py examples/recording.bin docs/prediction.svg

Runs `nmnist-stl` on the recording, without a server, and writes an SVG file.
"""

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.events import read_events
from service.inference.bodies import Prediction
from service.inference.options import PredictOptions
from service.inference.predictor import Predictor

MODEL, STORE = "nmnist-stl", "model_store"
STEP_US = 30_000  # one time step of the model
SENSOR = 34
MAX_EVENTS = 100_000

WIDTH, HEIGHT = 900, 500
LEFT, RIGHT = 70, 610  # the time axis
RASTER, ROW = 62, 5
SPIKES, SPIKES_HEIGHT = 268, 50
VOTES, VOTE_ROW = 352, 10
ENERGY_LEFT, ENERGY_TOP, ENERGY_HEIGHT, ENERGY_BAR, ENERGY_GAP = 690, 110, 300, 48, 22

ON, OFF, INK, FAINT = "#1f6fb4", "#e07b39", "#24292f", "#6e7781"
LAYERS = ("#9ecae9", "#4c9bd0", "#1f6fb4", "#0b3c6f", "#05264a")
TEXTS = (INK, "white", "white", "white", "white")  # on the layers
CONVENTIONAL = "#c8ccd1"


def text(x: float, y: float, content: str, *, size: int = 12, color: str = INK, anchor: str = "start") -> str:
    """A line of text; `y` is its base line."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{color}" text-anchor="{anchor}">{content}</text>'


def box(x: float, y: float, width: float, height: float, color: str, opacity: float = 1.0) -> str:
    """A filled rectangle."""
    fade = f' fill-opacity="{opacity:.2f}"' if opacity < 1 else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{color}"{fade}/>'


def raster(events: NDArray[np.int64], span_us: int) -> Iterable[str]:
    """Each event as a dot: time to the right, sensor row downwards, colour by polarity."""
    yield text(LEFT, RASTER - 8, f"Recording: {len(events):,} events by sensor row")
    yield text(RIGHT - 52, RASTER - 8, "brighter", color=ON, anchor="end")
    yield text(RIGHT, RASTER - 8, "darker", color=OFF, anchor="end")
    yield text(LEFT - 8, RASTER + 10, "row 0", size=11, color=FAINT, anchor="end")
    yield text(LEFT - 8, RASTER + SENSOR * ROW, str(SENSOR - 1), size=11, color=FAINT, anchor="end")
    yield box(LEFT, RASTER, RIGHT - LEFT, SENSOR * ROW, "#f6f8fa")
    x = LEFT + (events[:, 0] - events[0, 0]) * (RIGHT - LEFT) / span_us
    y = RASTER + (events[:, 2] + 0.5) * ROW
    for polarity, color in ((1, ON), (0, OFF)):
        dots = [f"M{x[i]:.0f} {y[i]:.1f}h1.6" for i in np.flatnonzero(events[:, 3] == polarity)]
        yield f'<path d="{"".join(sorted(set(dots)))}" stroke="{color}" stroke-width="1.6" stroke-opacity="0.75"/>'


def spikes(totals: list[int], step: float) -> Iterable[str]:
    """The network's spikes in each time step, as bars."""
    yield text(LEFT, SPIKES - 12, f"Network: {sum(totals):,} spikes by time step")
    for index, total in enumerate(totals):
        height = SPIKES_HEIGHT * total / max(totals)
        yield box(LEFT + index * step + 2, SPIKES + SPIKES_HEIGHT - height, step - 4, height, LAYERS[1])
        middle = LEFT + (index + 0.5) * step
        yield text(middle, SPIKES + SPIKES_HEIGHT - 5, f"{total:,}", size=11, color="white", anchor="middle")


def votes(prediction: Prediction, step: float) -> Iterable[str]:
    """The share of voting neurons that fired for each class in each time step, as shades."""
    label, score = prediction["label"], prediction["score"]
    yield text(LEFT, VOTES - 12, f"Votes by time step: class {label} wins with {score:.0%} of its votes")
    classes = len(prediction["timesteps"][0]["scores"])
    yield box(LEFT, VOTES, RIGHT - LEFT, classes * VOTE_ROW, "#f6f8fa")
    for k in range(classes):
        color = INK if k == prediction["class_id"] else FAINT
        yield text(LEFT - 8, VOTES + (k + 1) * VOTE_ROW - 1, str(k), size=10, color=color, anchor="end")
    for each in prediction["timesteps"]:
        for k, share in enumerate(each["scores"]):
            if share:
                yield box(LEFT + each["step"] * step + 2, VOTES + k * VOTE_ROW + 1, step - 4, VOTE_ROW - 2, ON, share)


def time_axis(steps: int, step: float) -> Iterable[str]:
    """Milliseconds below the votes."""
    y = VOTES + 10 * VOTE_ROW + 16
    for index in range(steps + 1):
        unit = " ms" if index == steps else ""
        x = LEFT + index * step
        yield text(x, y, f"{index * STEP_US // 1000}{unit}", size=11, color=FAINT, anchor="middle")


def energy(prediction: Prediction) -> Iterable[str]:
    """The energy estimate, layer by layer, beside those of conventional networks: 32-bit float, and of matched bits."""
    found = prediction["energy"]
    dense, _, matched = found["estimates"][0]["conventional"]
    conventional = [(f"{each['bits']}-bit", each["estimate_nj"]) for each in (dense, matched)]
    numbers = [number for _, number in conventional if isinstance(number, float)]
    scale = ENERGY_HEIGHT / max(*numbers, found["estimate_nj"])
    base = ENERGY_TOP + ENERGY_HEIGHT
    yield text(ENERGY_LEFT, RASTER - 8, "Energy, estimator “operations”")
    yield text(ENERGY_LEFT, RASTER + 9, f"{found['profile']}, arithmetic only", size=11, color=FAINT)
    y = float(base)
    for index, layer in enumerate(found["layers"]):
        height = layer["estimate_nj"] * scale
        y -= height
        yield box(ENERGY_LEFT, y, ENERGY_BAR, height, LAYERS[index % len(LAYERS)])
        if height > 12:
            yield text(
                ENERGY_LEFT + ENERGY_BAR / 2,
                y + height / 2 + 4,
                layer["name"],
                size=11,
                color=TEXTS[index],
                anchor="middle",
            )
    yield from label(ENERGY_LEFT, y, "spiking", found["estimate_nj"])
    for index, ((name, _), number) in enumerate(zip(conventional, numbers, strict=True), start=1):
        left = ENERGY_LEFT + index * (ENERGY_BAR + ENERGY_GAP)
        yield box(left, base - number * scale, ENERGY_BAR, number * scale, CONVENTIONAL)
        yield from label(left, base - number * scale, name, number)
    middle = ENERGY_LEFT + 2 * ENERGY_BAR + 1.5 * ENERGY_GAP
    yield text(middle, base + 30, "conventional", size=11, color=FAINT, anchor="middle")


def label(left: float, top: float, name: str, nanojoules: float) -> Iterable[str]:
    """The number above a bar, and its name below."""
    middle = left + ENERGY_BAR / 2
    yield text(middle, top - 6, f"{nanojoules / 1000:.1f} µJ", anchor="middle")
    yield text(middle, ENERGY_TOP + ENERGY_HEIGHT + 16, name, size=11, color=FAINT, anchor="middle")


def draw(events: NDArray[np.int64], prediction: Prediction) -> str:
    """The picture as an SVG document; `prediction` was made with `detail=timesteps` and `energy=operations`."""
    totals = prediction["spikes"]["timesteps"]
    steps = len(totals)
    step = (RIGHT - LEFT) / steps
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        ' font-family="system-ui, sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="white"/>',
        text(LEFT, 26, f"One prediction of {MODEL}: a digit, as a simulated event camera sees it", size=16),
        *raster(events, steps * STEP_US),
        *spikes(totals, step),
        *votes(prediction, step),
        *time_axis(steps, step),
        *energy(prediction),
        "</svg>\n",
    ]
    return "\n".join(parts)


async def main() -> None:
    """Predict, draw, write."""
    source, target = map(Path, sys.argv[1:])
    recording = source.read_bytes()
    async with Predictor.open(STORE) as predictor:
        options = PredictOptions(format="nmnist", detail="timesteps", energy="operations")
        response = await predictor.predict(MODEL, [recording], options)
    events = read_events(recording, "nmnist", max_events=MAX_EVENTS)
    target.write_text(draw(events, response["predictions"][0]))


if __name__ == "__main__":
    asyncio.run(main())
