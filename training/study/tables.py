"""The tables of a study's report, as HTML and as Markdown."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from contract.energy import crossover_activity
from training.study.compare import Comparisons, noise_area
from training.study.plan import Arm, Point
from training.study.result import RunResult
from training.study.statistics import Interval, mean_interval


@dataclass(frozen=True)
class Table:
    """A title, a sentence on how to read it, the heading and the rows; the first column names a row."""

    title: str
    caption: str
    heading: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def to_html(self) -> str:
        """The table for the report."""
        columns = zip(*self.rows, strict=True)
        classes = ["" if any(cell[:1].isalpha() for cell in column) else ' class="number"' for column in columns]

        def line(tag: str, cells: tuple[str, ...]) -> str:
            return "".join(f"<{tag}{kind}>{html.escape(c)}</{tag}>" for kind, c in zip(classes, cells, strict=True))

        head, body = line("th", self.heading), "".join(f"<tr>{line('td', row)}</tr>\n" for row in self.rows)
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"

    def to_markdown(self) -> str:
        """The table for a document."""
        lines = [self.heading, ("---",) * len(self.heading), *self.rows]
        table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return f"### {self.title}\n\n{table}\n" + (f"\n{self.caption}\n" if self.caption else "")


def main_tables(comparisons: Comparisons) -> list[Table]:
    """Means, differences, outcomes of samples, and areas under noise."""
    tables = [_means(comparisons), _differences(comparisons), _outcomes(comparisons), _noise(comparisons)]
    return [table for table in tables if table.rows]


def detail_tables(comparisons: Comparisons) -> list[Table]:
    """Settings, thresholds, and everything that was searched."""
    tables = [_settings(comparisons), _kinds_of_operations(comparisons), _thresholds(comparisons), _search(comparisons)]
    return [table for table in tables if table.rows]


def _means(comparisons: Comparisons) -> Table:
    rows = []
    for arm in comparisons.arms:
        runs = [run.run for run in comparisons.runs(arm).values()]
        figures = (("accuracy", 100.0, 2), ("operations", 1.0, 0), ("spikes", 1.0, 0), ("energy_nj", 1.0, 1))
        cells = [
            _interval(mean_interval([scale * float(getattr(run.test, name)) for run in runs]), digits)
            for name, scale, digits in figures
        ]
        minutes = mean_interval([run.cpu_seconds / 60 for run in runs]).mean
        rows.append((arm.label, str(len(runs)), *cells, f"{minutes:.1f}"))
    heading = (
        "arm",
        "seeds",
        "test accuracy, %",
        "operations",
        "spikes",
        "energy (operations), nJ",
        "training, CPU min",
    )
    caption = (
        "Means over the seeds with 95 % intervals (Student's t); operations, spikes and energy per sample. "
        "Energy is the estimate `operations` (cmos-45nm): the arithmetic of synapses alone, and not measured."
    )
    return Table("Means", caption, heading, rows)


def _kinds_of_operations(comparisons: Comparisons) -> Table:
    rows = []
    for arm in comparisons.arms:
        tests = [run.run.test for run in comparisons.runs(arm).values() if run.run.test]
        accumulates = mean_interval([test.accumulates for test in tests])
        multiplied = mean_interval([test.multiply_accumulates for test in tests])
        rows.append((arm.label, _interval(accumulates, 0), _interval(multiplied, 0), *_activity(comparisons, arm)))
    caption = (
        "Per sample: accumulates for spikes, multiply-accumulates for inputs with other values, as of the first layer. "
        "Synaptic activity is the share of synapses behind spikes that were used at a time step; below about the "
        "crossover, the network moves fewer bits of weights than a quantized one."
    )
    heading = ("arm", "accumulates", "multiply-accumulates", "synaptic activity, %", "crossover, %")
    return Table("Kinds of operations", caption, heading, rows)


def _activity(comparisons: Comparisons, arm: Arm) -> tuple[str, str]:
    """Synaptic activity, and the crossover."""
    found, steps = [], 1
    for each in comparisons.runs(arm).values():
        run, steps = each.run, each.run.timesteps
        reached = sum(layer.synapses for layer in run.layers if layer.operation == "ac") * steps
        if run.test is not None and reached:
            found.append(100 * run.test.accumulates / reached)
    return _interval(mean_interval(found), 2) if found else "none", f"{100 * crossover_activity(steps):.1f}"


def _differences(comparisons: Comparisons) -> Table:
    found = comparisons.comparisons()
    rows = []
    for each in found:
        difference = each.difference
        unit = "%" if each.relative else "points"
        rows.append(
            (
                f"{each.arm.label} against {each.baseline.label}",
                f"{each.figure.removesuffix(' (%)')}, {unit}",
                f"{difference.mean:+.2f}",
                _range(difference),
                _p(difference.p),
                _p(each.corrected_p),
                _verdict(difference, each.corrected_p),
            )
        )
    caption = (
        "Paired differences over equal seeds. The p-values of paired t tests are corrected for their number, "
        f"{len(found)}, by Holm's method; an interval is not corrected. “Undecided” means that neither direction is "
        "shown, not that there is no difference."
    )
    heading = ("arms", "difference of", "mean", "95 % interval", "p", "corrected p", "at 5 %")
    return Table("Paired differences", caption, heading, rows)


def _outcomes(comparisons: Comparisons) -> Table:
    rows = []
    for each in comparisons.outcomes():
        tests = each.by_seed.values()
        rows.append(
            (
                f"{each.arm.label} against {each.baseline.label}",
                f"{sum(test.only_second for test in tests):,}",
                f"{sum(test.only_first for test in tests):,}",
                ", ".join(_p(test.p) for test in tests),
                f"{100 * each.bootstrap.mean:+.2f} ({_range(each.bootstrap, 100)})",
            )
        )
    caption = (
        "McNemar's exact test of each seed, not corrected, and the difference in accuracy with its 95 % bootstrap "
        "interval over test samples. They treat the trained networks as given: they say whether these networks differ, "
        "the table above whether the arms do."
    )
    heading = ("arms", "only first right", "only second right", "p by seed", "bootstrap, points")
    return Table("Test samples", caption, heading, rows)


def _noise(comparisons: Comparisons) -> Table:
    kinds = comparisons.noise_kinds()
    rows = []
    for arm in comparisons.arms:
        areas = [[noise_area(run, kind) for run in comparisons.runs(arm).values()] for kind in kinds]
        if any(area is not None for each in areas for area in each):
            known = [[100 * area for area in each if area is not None] for each in areas]
            rows.append((arm.label, *(_interval(mean_interval(each), 1) if each else "" for each in known)))
    caption = (
        "Area under accuracy against noise, relative to the accuracy without noise, in per cent: 100 for a network "
        "that loses nothing. Means over the seeds with 95 % intervals."
    )
    return Table("Areas under noise", caption, ("arm", *kinds), rows)


def _settings(comparisons: Comparisons) -> Table:
    rows = []
    for arm in comparisons.arms:
        run = comparisons.first_run(arm)
        baseline = {base.name: base for _, base in comparisons.pairs()}.get(
            comparisons.results.study.baseline_of(arm) or ""
        )
        paired = "" if baseline is None else "yes" if comparisons.is_paired(arm, baseline) else "no"
        chosen = comparisons.results.search[arm.name].chosen
        rows.append((arm.label, _point(arm.overrides), _point(chosen) or "nothing", _learnt(run), paired))
    caption = (
        "Everything else is the same for all arms. Weights are paired if arm and baseline start from the same synaptic "
        "weights at each seed; a different norm draws other weights. Order of samples, Poisson draws and noise are "
        "always the same at equal seeds."
    )
    heading = ("arm", "set", "chosen by the search", "parameters that learn", "paired weights")
    return Table("Arms", caption, heading, rows)


def _learnt(run: RunResult) -> str:
    learnt = f"{run.learnt_parameters:,}"
    if run.parameters_to_match is None:
        return learnt
    return f"{learnt}, to match {run.parameters_to_match:,}: {run.network}"


def _thresholds(comparisons: Comparisons) -> Table:
    rows = []
    for arm in comparisons.arms:
        runs = [run.run for run in comparisons.runs(arm).values()]
        for place, start in enumerate(runs[0].initial_thresholds):
            rows.append((arm.label, start.layer, *_threshold_cells(runs, place)))
    heading = ("arm", "layer", "before", "after", "spread", "least", "at or below 0", "silent", "saturated")
    caption = (
        "Mean thresholds before and after training, their spread, and the least one of all seeds. Silent neurons never "
        "fired, saturated ones always, on the first test samples (at most 1,000)."
    )
    return Table("Thresholds and neurons", caption, heading, rows)


def _threshold_cells(runs: Sequence[RunResult], place: int) -> tuple[str, ...]:
    after = [run.statistics[place] for run in runs]
    neurons = runs[0].spiking_layers[place].neurons

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    return (
        f"{mean([run.initial_thresholds[place].mean for run in runs]):.3f}",
        f"{mean([each.mean for each in after]):.3f}",
        f"{mean([each.std for each in after]):.3f}",
        f"{min(each.minimum for each in after):.3f}",
        f"{mean([each.not_positive for each in after]):.2%}",
        f"{mean([each.silent / neurons for each in after]):.1%}",
        f"{mean([each.saturated / neurons for each in after]):.1%}",
    )


def _search(comparisons: Comparisons) -> Table:
    rows = []
    for arm in comparisons.results.study.arms:
        found = comparisons.results.search.get(arm.name)
        for point in found.points if found else []:
            accuracy = point.error or "" if point.accuracy is None else f"{point.accuracy:.2%}"
            operations = "" if point.operations is None else f"{point.operations:,.0f}"
            spikes = "" if point.spikes is None else f"{point.spikes:,.0f}"
            chosen = "chosen" if found and point.point == found.chosen else ""
            rows.append((arm.label, _point(point.point), accuracy, operations, spikes, chosen))
    search = comparisons.results.study.search
    caption = (
        f"Each setting was trained once, at seed {search.seed}"
        + (f" with {_point(search.overrides)}" if search.overrides else "")
        + f", and measured on the validation part. Of the settings within {search.tolerance:g} standard errors of the "
        "best accuracy, the one with the fewest operations was chosen."
    )
    heading = ("arm", "setting", "validation accuracy", "operations", "spikes", "")
    return Table("What the searches tried", caption, heading, rows)


def _interval(interval: Interval, digits: int) -> str:
    if math.isnan(interval.half_width):
        return f"{interval.mean:,.{digits}f}"
    return f"{interval.mean:,.{digits}f} ± {interval.half_width:,.{digits}f}"


def _range(interval: Interval, scale: float = 1.0) -> str:
    return "" if math.isnan(interval.low) else f"{scale * interval.low:+.2f} to {scale * interval.high:+.2f}"


def _p(p: float) -> str:
    return "" if math.isnan(p) else "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def _verdict(interval: Interval, corrected_p: float) -> str:
    if math.isnan(corrected_p):
        return "one seed"
    if corrected_p >= 0.05:
        return "undecided"
    return "higher" if interval.mean > 0 else "lower"


def _point(point: Point) -> str:
    return ", ".join(f"{name} {value}" for name, value in point.items())
