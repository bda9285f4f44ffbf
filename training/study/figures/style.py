"""How figures look: colours that the colour-blind tell apart, and a line style and a marker besides."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from training.study.compare import Comparisons
from training.study.plan import Arm

# Okabe and Ito's colours, without yellow, which is too light on paper
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
SEQUENTIAL = "cividis"  # its lightness rises evenly

PARAMETERS: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.markersize": 4,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "svg.hashsalt": "stl-snn",
}


@dataclass(frozen=True)
class Drawing:
    """A figure of the report: its title, a sentence that says how to read it, and the picture as SVG."""

    title: str
    caption: str
    svg: bytes

    @property
    def data_uri(self) -> str:
        """The picture as an address that contains it."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


def drawing(title: str, caption: str, figure: Figure) -> Drawing:
    """The finished figure."""
    file = io.BytesIO()
    with mpl.rc_context(PARAMETERS):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return Drawing(title, caption, file.getvalue())


def grid(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, list[list[Axes]]]:
    """A figure of `rows` times `columns` axes, each `width` by `height` inches, and its axes."""
    with mpl.rc_context(PARAMETERS):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, [list(row) for row in axes]


def counts(axis: Axis) -> None:
    """Label an axis of large numbers as 20k or 3M."""
    axis.set_major_formatter(EngFormatter(sep=""))


def line_style(place: int) -> dict[str, Any]:
    """Colour, marker and line of the arm at this place of a group."""
    round_ = place // len(COLOURS)
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": LINES[(place + round_) % len(LINES)],
    }


def evenly_spaced(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of the places 0, 1, ..., `count` - 1, from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def style_of(comparisons: Comparisons, arm: Arm) -> dict[str, Any]:
    """Colour, marker and line of an arm, the same in all figures."""
    return next(line_style(group.index(arm)) for group in groups(comparisons) if arm in group)


def groups(comparisons: Comparisons) -> list[list[Arm]]:
    """The arms in groups that share a baseline; the baseline is in its group."""
    study = comparisons.results.study
    found: dict[str, list[Arm]] = {}
    for arm in comparisons.arms:
        found.setdefault(study.baseline_of(arm) or arm.name, []).append(arm)
    return list(found.values())


def group_title(comparisons: Comparisons, group: Sequence[Arm]) -> str:
    """What the arms of a group have in common: their number of spiking layers, or else their baseline."""
    depths = [{depth(comparisons, arm) for arm in each} for each in groups(comparisons)]
    if len(depths) == 1:
        return ""
    own = {depth(comparisons, arm) for arm in group}
    if all(len(each) == 1 for each in depths) and len(set.union(*depths)) == len(depths):
        return f"{own.pop()} spiking layers"
    baseline = comparisons.results.study.baseline_of(group[-1]) or group[0].name
    return next(arm.label for arm in group if arm.name in (baseline, group[0].name))


def depth(comparisons: Comparisons, arm: Arm) -> int:
    """The number of an arm's spiking layers."""
    return len(comparisons.first_run(arm).spiking_layers)


def short(arm: Arm, comparisons: Comparisons) -> str:
    """A name of the arm for a legend: that of its series where a panel has one arm of each."""
    return arm.series if arm.series and len(groups(comparisons)) > 1 else arm.label
