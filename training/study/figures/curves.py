"""Accuracy and loss by epoch, and gradients by layer."""

from collections.abc import Callable
from functools import partial

import numpy as np
from matplotlib.ticker import MaxNLocator

from training.study.compare import Comparisons
from training.study.figures.style import Drawing, drawing, grid, group_title, groups, line_style, short
from training.study.plan import Arm
from training.study.result import RunResult


def epochs(comparisons: Comparisons) -> Drawing:
    """Validation accuracy and training loss by epoch."""
    panels = groups(comparisons)
    figure, axes = grid(2, len(panels), 6.5 if len(panels) == 1 else 3.2, 2.6, sharex="col", sharey="row")
    for column, group in enumerate(panels):
        for row, (values, label) in enumerate(((_accuracies, "validation accuracy (%)"), (_losses, "loss"))):
            ax = axes[row][column]
            for place, arm in enumerate(group):
                curves = _of_all_seeds(comparisons, arm, values)
                if curves.size:
                    x, style = np.arange(1, curves.shape[1] + 1), line_style(place)
                    ax.plot(x, curves.mean(0), label=short(arm, comparisons), markevery=max(1, len(x) // 8), **style)
                    ax.fill_between(x, curves.min(0), curves.max(0), color=style["color"], alpha=0.15, linewidth=0)
            if column == 0:
                ax.set_ylabel(label)
        axes[0][column].set_title(group_title(comparisons, group))
        axes[1][column].set_xlabel("epoch")
        axes[1][column].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0][-1].legend()
    caption = "Lines are means over the seeds, bands their range. Both are of the network in training, before rounding."
    return drawing("Accuracy and loss by epoch", caption, figure)


def gradients(comparisons: Comparisons) -> Drawing:
    """Root mean square of the weights' and the thresholds' gradients by layer, in the first and the last epoch."""
    group = groups(comparisons)[-1]
    figure, axes = grid(1, 2, 4.2, 2.8)
    for ax, parameter in zip(axes[0], ("weights", "thresholds"), strict=True):
        for place, arm in enumerate(group):
            names = [layer.name for layer in comparisons.first_run(arm).spiking_layers]
            for epoch, alpha, when in ((0, 1.0, "first epoch"), (-1, 0.45, "last epoch")):
                values = _of_all_seeds(comparisons, arm, partial(_gradients, epoch=epoch, parameter=parameter))
                if np.isfinite(values).any():
                    label = f"{short(arm, comparisons)}, {when}"
                    ax.plot(names, values.mean(0), label=label, alpha=alpha, **line_style(place))
        ax.set_yscale("log")
        ax.set_title(f"gradient of {parameter}")
        ax.tick_params(axis="x", rotation=60 if len(ax.get_xticks()) > 6 else 0)
        ax.set_xlabel("layer")
        ax.legend(fontsize=7)
    axes[0][0].set_ylabel("root mean square")
    title = group_title(comparisons, group)
    caption = f"Over the first ten batches of an epoch, mean over the seeds{f'; {title}' if title else ''}."
    return drawing("Gradients by layer", caption, figure)


def _accuracies(run: RunResult) -> list[float]:
    return [100 * float(epoch["val_accuracy"]) for epoch in run.history if "val_accuracy" in epoch]


def _losses(run: RunResult) -> list[float]:
    return [float(epoch["loss"]) for epoch in run.history]


def _gradients(run: RunResult, *, epoch: int, parameter: str) -> list[float]:
    """The gradient of each layer's weights or thresholds; NaN where it does not learn."""
    found = run.history[epoch]["gradients"]
    return [float(found.get(layer.name, {}).get(parameter, np.nan)) for layer in run.spiking_layers]


def _of_all_seeds(comparisons: Comparisons, arm: Arm, values: Callable[[RunResult], list[float]]) -> np.ndarray:
    """The values of all seeds of an arm, `[seeds, values]`."""
    return np.array([values(run.run) for run in comparisons.runs(arm).values()])
