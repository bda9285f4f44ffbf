"""Accuracy, spikes and operations of each arm, in sum and by layer."""

from collections.abc import Callable

import matplotlib as mpl
import numpy as np

from training.study.compare import FIGURES, Comparisons
from training.study.figures.style import SEQUENTIAL, Drawing, counts, drawing, grid, style_of
from training.study.result import RunResult


def overview(comparisons: Comparisons) -> Drawing:
    """Each arm's accuracy, operations and spikes, with intervals and every seed."""
    arms = comparisons.arms
    figure, axes = grid(1, len(FIGURES), 3.1, 0.9 + 0.35 * len(arms), sharey=True)
    for ax, each in zip(axes[0], FIGURES, strict=True):
        for place, arm in enumerate(arms):
            found = comparisons.mean(arm, each.of)
            values = [each.of(run.run) for run in comparisons.runs(arm).values()]
            ax.plot(values, [place + 0.18] * len(values), "|", color="#666666", markersize=6)
            style = style_of(comparisons, arm) | {"linestyle": "none", "markersize": 6}
            ax.errorbar([found.mean], [place], xerr=[[found.half_width]] if found.n > 1 else None, capsize=3, **style)
        ax.set_xlabel(each.name if "%" in each.name else f"{each.name} per sample")
        counts(ax.xaxis)
        ax.set_xlim(left=max(0.0, ax.get_xlim()[0]), right=min(100.0, ax.get_xlim()[1]) if "%" in each.name else None)
    axes[0][0].set_yticks(range(len(arms)), [arm.label for arm in arms])
    axes[0][0].set_ylim(len(arms) - 0.5, -0.5)
    caption = "Symbols are means over the seeds with 95 % intervals, grey strokes the seeds. Test part, exported form."
    return drawing("Accuracy, operations and spikes", caption, figure)


def by_layer(comparisons: Comparisons) -> Drawing:
    """Spikes and operations of each arm, by the layer that emits or performs them."""
    arms = comparisons.arms
    figure, axes = grid(1, 2, 4.6, 1.2 + 0.35 * len(arms), sharey=True)
    layers = {arm.name: [layer.name for layer in comparisons.first_run(arm).spiking_layers] for arm in arms}
    is_same = all(names == layers[arms[0].name] for names in layers.values())
    for ax, what in zip(axes[0], ("spikes_by_step", "operations_by_step"), strict=True):
        for place, arm in enumerate(arms):
            left = 0.0
            colours = mpl.colormaps[SEQUENTIAL](np.linspace(0, 0.95, len(layers[arm.name])))
            for column, name in enumerate(layers[arm.name]):
                width = comparisons.mean(arm, _layer_sum(what, column)).mean
                label = name if is_same and place == 0 and ax is axes[0][0] else None
                ax.barh(place, width, left=left, color=colours[column], edgecolor="white", linewidth=0.6, label=label)
                left += width
        ax.set_xlabel(f"{what.removesuffix('_by_step')} per sample")
        counts(ax.xaxis)
    axes[0][0].set_yticks(range(len(arms)), [arm.label for arm in arms])
    axes[0][0].set_ylim(len(arms) - 0.5, -0.5)
    if is_same:
        figure.legend(loc="outside lower center", ncols=6, fontsize=8)
    caption = (
        "From the first layer (dark) to the last (light). Spikes are those that a layer emits, operations those that "
        "its synapses perform on their input. Behind max pooling, the spikes of one window and step count once for the "
        "next layer: spikes that are saved before a max pool need not save operations. The first layer's operations "
        "are those of the input."
    )
    return drawing("Spikes and operations by layer", caption, figure)


def _layer_sum(what: str, column: int) -> Callable[[RunResult], float]:
    return lambda run: sum(float(step[column]) for step in getattr(run.test, what))
