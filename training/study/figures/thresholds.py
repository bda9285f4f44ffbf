"""Thresholds before and after training: histograms, and a map of a convolution's."""

from pathlib import Path

import numpy as np
import safetensors.numpy

from contract.store import STATE_FILE, Store
from training.study.compare import Comparisons
from training.study.figures.style import SEQUENTIAL, Drawing, drawing, evenly_spaced, grid, style_of
from training.study.plan import Arm
from training.study.result import RunResult

MOST_ARMS, MOST_LAYERS, MOST_CHANNELS = 6, 6, 16


def histograms(comparisons: Comparisons) -> Drawing | None:
    """The thresholds of each layer before and after training, of arms whose thresholds learn, at the first seed."""
    arms = learning(comparisons)[:MOST_ARMS]
    if not arms:
        return None
    columns = max(len(comparisons.first_run(arm).statistics) for arm in arms)
    columns = min(columns, MOST_LAYERS)
    figure, axes = grid(len(arms), columns, 2.3, 1.9)
    for row, arm in zip(axes, arms, strict=True):
        run = comparisons.first_run(arm)
        places = evenly_spaced(len(run.statistics), columns)
        style = style_of(comparisons, arm)
        for ax, place in zip(row, places, strict=False):
            found, start = run.statistics[place], run.initial_thresholds[place]
            edges = np.linspace(found.histogram.low, found.histogram.high, len(found.histogram.after) + 1)
            ax.stairs(
                np.array(found.histogram.after) / sum(found.histogram.after),
                edges,
                fill=True,
                color=style["color"],
                alpha=0.6,
                label="after",
            )
            if start.std == 0:
                ax.axvline(start.mean, color="black", linestyle="--", label="before")
            else:
                share = np.array(found.histogram.before) / sum(found.histogram.before)
                ax.stairs(share, edges, color="black", linestyle="--", label="before")
            ax.set_title(found.layer, fontsize=8)
        for ax in row[len(places) :]:
            ax.set_visible(False)
        row[0].set_ylabel(arm.label, fontsize=8)
    axes[0][0].legend(fontsize=7)
    caption = "Share of a layer's thresholds by value, at the first seed; dashed: before training."
    return drawing("Thresholds before and after training", caption, figure)


def threshold_map(comparisons: Comparisons, root: Path) -> Drawing | None:
    """The thresholds of the first convolution by position, of up to three arms whose thresholds learn."""
    found = [
        (arm, values) for arm in learning(comparisons) if (values := _map(comparisons.first_run(arm), root)) is not None
    ]
    if not found:
        return None
    found = found[:3]
    figure, axes = grid(1, len(found), 3.4, 3.6)
    for ax, (arm, values) in zip(axes[0], found, strict=True):
        shown = values[:MOST_CHANNELS]
        columns = int(np.ceil(len(shown) ** 0.5))
        rows = -(-len(shown) // columns)
        _, height, width = shown.shape
        tiles = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
        for place, tile in enumerate(shown):
            y, x = place // columns * (height + 1), place % columns * (width + 1)
            tiles[y : y + height, x : x + width] = tile
        image = ax.imshow(tiles, cmap=SEQUENTIAL, interpolation="nearest")
        ax.set_title(arm.label)
        ax.axis("off")
        figure.colorbar(image, ax=ax, shrink=0.7, label="threshold")
    caption = f"One square for each channel, up to {MOST_CHANNELS}; after training, at the first seed."
    return drawing("Thresholds of the first convolution by position", caption, figure)


def learning(comparisons: Comparisons) -> list[Arm]:
    """The arms whose thresholds learn."""
    return [arm for arm in comparisons.arms if comparisons.first_run(arm).settings["mode"] != "sl"]


def _map(run: RunResult, root: Path) -> np.ndarray | None:
    """Thresholds `[C, H, W]` of the first convolution, None without one per neuron or without the trained model."""
    first = next((layer for layer in run.layers if layer.kind == "conv"), None)
    store = Store(root / "models")
    if first is None or not store.versions(run.key):
        return None
    state = store.checkpoint_path(run.key, store.versions(run.key)[-1]).with_name(STATE_FILE)
    values = safetensors.numpy.load_file(state).get(f"stages.{first.name}.neurons.threshold")
    return None if values is None or values.shape != first.out_shape else values
