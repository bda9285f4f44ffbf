"""Everything that the searches tried."""

import math

from training.study.compare import Comparisons
from training.study.figures.style import Drawing, counts, drawing, grid, group_title, groups, line_style, short
from training.study.plan import Point
from training.study.result import SearchPoint

STARTS = ("threshold", "threshold_init", "initial_rate")
MOST_COLUMNS = 5


def search(comparisons: Comparisons) -> Drawing | None:
    """Validation accuracy against operations of all points, with the chosen ones marked."""
    searches = comparisons.results.search
    panels = [group for group in groups(comparisons) if any(searches[arm.name].points for arm in group)]
    if not panels:
        return None
    figure, axes = grid(1, len(panels), 6.0 if len(panels) == 1 else 3.0, 3.2, sharey=True)
    for ax, group in zip(axes[0], panels, strict=True):
        for place, arm in enumerate(group):
            points = [point for point in searches[arm.name].points if point.accuracy is not None]
            style = line_style(place) | {"linestyle": "none"}
            x, y = [point.operations or 0.0 for point in points], [100 * (point.accuracy or 0.0) for point in points]
            ax.plot(x, y, label=short(arm, comparisons), alpha=0.8, **style)
            for point, x_, y_ in zip(points, x, y, strict=True):
                if point.point == searches[arm.name].chosen:
                    ring = {"markersize": 12, "fillstyle": "none", "markeredgecolor": style["color"]}
                    ax.plot([x_], [y_], marker="o", linestyle="none", **ring)
        ax.set_title(group_title(comparisons, group))
        ax.set_xlabel("operations per sample")
        counts(ax.xaxis)
    axes[0][0].set_ylabel("validation accuracy (%)")
    axes[0][-1].legend(fontsize=8)
    caption = "Each symbol is one setting, trained at the search's seed; a ring marks the one that was chosen."
    return drawing("What the searches tried", caption, figure)


def surface(comparisons: Comparisons) -> Drawing | None:
    """Validation accuracy of every setting: initial thresholds along the axis, a line for the rest of the settings."""
    searches = [(arm, comparisons.results.search[arm.name].points) for arm in comparisons.arms]
    searches = [(arm, points) for arm, points in searches if points]
    if not searches:
        return None
    columns = min(MOST_COLUMNS, len(searches))
    rows = math.ceil(len(searches) / columns)
    figure, axes = grid(rows, columns, 2.9 if columns < 4 else 2.4, 2.6, sharey=True)
    flat = [ax for row in axes for ax in row]
    for ax, (arm, points) in zip(flat, searches, strict=False):
        lines: dict[str, list[SearchPoint]] = {}
        for point in points:
            lines.setdefault(_other(point.point), []).append(point)
        for place, (name, line) in enumerate(lines.items()):
            x, y = [_start(each.point) for each in line], [100 * (each.accuracy or 0.0) for each in line]
            ax.plot(x, y, label=name or None, **line_style(place))
        ax.set_title(arm.label, fontsize=8)
        ax.set_ylim(0, 102)
        ax.tick_params(axis="x", labelsize=7)
        if any(lines):
            ax.legend(fontsize=5.5)
    for ax in flat[len(searches) :]:
        ax.set_visible(False)
    for row in axes:
        row[0].set_ylabel("validation accuracy (%)")
    caption = (
        "How much the accuracy depends on the settings. Along the axis: initial thresholds, or the first field "
        "that was searched. A training that diverged is drawn at 0."
    )
    return drawing("Accuracy over the settings", caption, figure)


def _start(point: Point) -> str:
    """The place of a setting on the axis."""
    starts = [str(point[name]) for name in STARTS if name in point] or [str(next(iter(point.values())))]
    return "\n".join(starts)


def _other(point: Point) -> str:
    """The line that a setting belongs to."""
    first = next(iter(point)) if not any(name in point for name in STARTS) else ""
    return "\n".join(f"{name} {value}" for name, value in point.items() if name not in (*STARTS, first))
