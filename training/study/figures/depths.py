"""Accuracy, spikes and operations against the number of spiking layers."""

from training.study.compare import FIGURES, Comparisons
from training.study.figures.style import Drawing, counts, depth, drawing, grid, line_style
from training.study.plan import Arm


def depths(comparisons: Comparisons) -> Drawing | None:
    """One line for each series of arms; None for a study of one depth."""
    series: dict[str, list[Arm]] = {}
    for arm in comparisons.arms:
        series.setdefault(arm.series or arm.label, []).append(arm)
    if max((len({depth(comparisons, arm) for arm in arms}) for arms in series.values()), default=0) < 2:
        return None
    figure, axes = grid(1, len(FIGURES), 3.1, 2.8)
    for ax, each in zip(axes[0], FIGURES, strict=True):
        for place, (name, arms) in enumerate(series.items()):
            ordered = sorted(arms, key=lambda arm: depth(comparisons, arm))
            x = [depth(comparisons, arm) for arm in ordered]
            values = [[each.of(run.run) for run in comparisons.runs(arm).values()] for arm in ordered]
            style = line_style(place)
            ax.plot(x, [sum(seeds) / len(seeds) for seeds in values], label=name, **style)
            low, high = [min(seeds) for seeds in values], [max(seeds) for seeds in values]
            ax.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
        ax.set_xlabel("spiking layers")
        ax.set_ylabel(each.name if "%" in each.name else f"{each.name} per sample")
        ax.set_ylim(bottom=0)
        counts(ax.yaxis)
    axes[0][0].legend(fontsize=8)
    return drawing("Against depth", "Means over the seeds with their range; test part, exported form.", figure)
