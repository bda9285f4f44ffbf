"""Accuracy, spikes and operations against each kind of noise."""

import numpy as np

from training.noise.kinds import KINDS
from training.study.compare import Comparisons, noise_curve
from training.study.figures.style import Drawing, counts, drawing, grid, group_title, groups, line_style, short
from training.study.plan import Arm
from training.study.result import NoiseResult

SHOWN = (("accuracy", "accuracy (%)", 100.0), ("spikes", "spikes per sample", 1.0), ("operations", "operations", 1.0))


def noises(comparisons: Comparisons) -> list[Drawing]:
    """A figure for each kind of noise that was measured."""
    return [
        _noise(comparisons, kind)
        for kind in comparisons.noise_kinds()
        if any(_curves(comparisons, arm, kind, SHOWN[0]).size for arm in comparisons.arms)
    ]


def _noise(comparisons: Comparisons, kind: str) -> Drawing:
    """Accuracy, spikes and operations; with several groups of arms, their accuracies side by side."""
    panels = groups(comparisons)
    columns = [(group, what) for group in panels for what in (SHOWN if len(panels) == 1 else SHOWN[:1])]
    figure, axes = grid(1, len(columns), 2.9 if len(panels) == 1 else 2.6, 2.2)
    for ax, (group, what) in zip(axes[0], columns, strict=True):
        for place, arm in enumerate(group):
            curves = _curves(comparisons, arm, kind, what)
            if curves.size:
                levels, values = curves[0, :, 0], curves[:, :, 1]
                style = line_style(place)
                ax.plot(levels, values.mean(0), label=short(arm, comparisons), **style)
                ax.fill_between(levels, values.min(0), values.max(0), color=style["color"], alpha=0.15, linewidth=0)
        ax.set_ylim(bottom=0)
        counts(ax.yaxis)
        ax.set_title(group_title(comparisons, group))
        if len(panels) == 1 or ax is axes[0][0]:
            ax.set_ylabel(what[1])
    axes[0][0].legend(fontsize=7)
    samples = max(run.noise.samples for arm in comparisons.arms for run in comparisons.runs(arm).values() if run.noise)
    caption = (
        f"Level: {KINDS[kind].unit}. Means over draws and seeds with the seeds' range, on {samples:,} test samples; "
        "all arms see the same noise."
    )
    return drawing(f"Under noise: {kind}", caption, figure)


def _curves(comparisons: Comparisons, arm: Arm, kind: str, what: tuple[str, str, float]) -> np.ndarray:
    """Level and value of each seed, `[seeds, levels, 2]`."""
    name, _, scale = what

    def of(result: NoiseResult) -> float:
        return scale * float(getattr(result, name))

    return np.array([curve for run in comparisons.runs(arm).values() if len(curve := noise_curve(run, kind, of)) > 1])
