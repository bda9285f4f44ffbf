"""Accuracy, spikes and operations against each kind of noise."""

import numpy as np

from training.noise.kinds import KINDS
from training.study.compare import Comparisons, noise_curve
from training.study.figures.style import Drawing, counts, drawing, grid, group_title, groups, line_style, short
from training.study.plan import Arm
from training.study.result import NoiseResult

SHOWN = (("accuracy", "accuracy (%)", 100.0), ("spikes", "spikes per sample", 1.0), ("operations", "operations", 1.0))


def noise(comparisons: Comparisons) -> Drawing | None:
    """One row for each kind; with several groups of arms, their accuracies side by side."""
    kinds = [
        kind
        for kind in comparisons.noise_kinds()
        if any(_curves(comparisons, arm, kind, SHOWN[0]).size for arm in comparisons.arms)
    ]
    if not kinds:
        return None
    panels = groups(comparisons)
    columns = [(group, what) for group in panels for what in (SHOWN if len(panels) == 1 else SHOWN[:1])]
    figure, axes = grid(len(kinds), len(columns), 2.9 if len(panels) == 1 else 2.6, 2.2)
    for row, kind in zip(axes, kinds, strict=True):
        for ax, (group, what) in zip(row, columns, strict=True):
            for place, arm in enumerate(group):
                curves = _curves(comparisons, arm, kind, what)
                if curves.size:
                    levels, values = curves[0, :, 0], curves[:, :, 1]
                    style = line_style(place)
                    ax.plot(levels, values.mean(0), label=short(arm, comparisons), **style)
                    ax.fill_between(levels, values.min(0), values.max(0), color=style["color"], alpha=0.15, linewidth=0)
            ax.set_ylim(bottom=0)
            counts(ax.yaxis)
            if len(panels) == 1 or ax is row[0]:
                ax.set_xlabel(f"{kind}\n{KINDS[kind].unit}", fontsize=7)
                ax.set_ylabel(what[1], fontsize=8)
    for ax, (group, _) in zip(axes[0], columns, strict=True):
        ax.set_title(group_title(comparisons, group))
    axes[0][0].legend(fontsize=7)
    run = next(iter(comparisons.runs(comparisons.arms[0]).values()))
    samples = run.noise.samples if run.noise else 0
    caption = (
        f"Means over draws and seeds with the seeds' range, on {samples:,} test samples; all arms see the same noise."
    )
    return drawing("Accuracy, spikes and operations under noise", caption, figure)


def _curves(comparisons: Comparisons, arm: Arm, kind: str, what: tuple[str, str, float]) -> np.ndarray:
    """Level and value of each seed, `[seeds, levels, 2]`."""
    name, _, scale = what

    def of(result: NoiseResult) -> float:
        return scale * float(getattr(result, name))

    return np.array([curve for run in comparisons.runs(arm).values() if len(curve := noise_curve(run, kind, of)) > 1])
