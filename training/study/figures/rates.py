"""Firing rates by layer and by time step, and a raster of one sample."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from training.study.compare import Comparisons
from training.study.figures.style import Drawing, drawing, evenly_spaced, grid, group_title, groups, line_style, short
from training.study.packing import unpack_bits
from training.study.plan import Arm
from training.study.result import RunResult

MOST_PANELS = 8
RASTER_NEURONS = 60


def by_depth(comparisons: Comparisons) -> Drawing:
    """The firing rate of each layer."""
    panels = groups(comparisons)
    figure, axes = grid(1, len(panels), 6.5 if len(panels) == 1 else 3.2, 3.0, sharey=True)
    for ax, group in zip(axes[0], panels, strict=True):
        for place, arm in enumerate(group):
            rates = _rates(comparisons, arm).mean(1)  # [seeds, layers]
            errors = np.stack([rates.mean(0) - rates.min(0), rates.max(0) - rates.mean(0)])
            names = _names(comparisons.first_run(arm))
            ax.errorbar(
                names, rates.mean(0), yerr=errors, capsize=2, label=short(arm, comparisons), **line_style(place)
            )
        ax.set_title(group_title(comparisons, group))
        ax.tick_params(axis="x", rotation=60 if len(ax.get_xticks()) > 6 else 0)
    axes[0][0].set_ylim(bottom=0)
    axes[0][0].set_ylabel("spikes per neuron and step")
    axes[0][-1].legend()
    caption = (
        "Layers from input to output; means over the test part, the time steps and the seeds, with the seeds' range."
    )
    return drawing("Firing rate by layer", caption, figure)


def by_step(comparisons: Comparisons) -> Drawing:
    """The firing rate of each layer at each time step, in the last group of arms."""
    group = groups(comparisons)[-1]
    names = _names(comparisons.first_run(group[0]))
    shown = evenly_spaced(len(names), MOST_PANELS)
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = grid(rows, columns, 2.4, 2.2, sharex=True, sharey=True)
    flat = [ax for row in axes for ax in row]
    for ax, layer in zip(flat, shown, strict=False):
        for place, arm in enumerate(group):
            rates = _rates(comparisons, arm)[:, :, layer].mean(0)
            ax.plot(np.arange(1, len(rates) + 1), rates, label=short(arm, comparisons), **line_style(place))
        ax.set_title(names[layer])
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    flat[0].set_ylim(bottom=0)
    for ax in flat[len(shown) :]:
        ax.set_visible(False)
    axes[-1][0].set_xlabel("time step")
    axes[0][0].set_ylabel("spikes per neuron")
    flat[0].legend(fontsize=7)
    title = group_title(comparisons, group)
    return drawing(
        "Firing rate by time step", f"Means over the test part and the seeds{f'; {title}' if title else ''}.", figure
    )


def raster(comparisons: Comparisons) -> Drawing | None:
    """Spikes of one test sample, at the first seed."""
    group = groups(comparisons)[-1][:4]
    runs = [comparisons.first_run(arm) for arm in group]
    if any(run.raster is None for run in runs):
        return None
    every = _names(runs[0])
    names = [every[place] for place in evenly_spaced(len(every), MOST_PANELS)]
    figure, axes = grid(1, len(group), 2.4, 1.0 + 0.75 * len(names), sharey=True)
    for place, (ax, arm, run) in enumerate(zip(axes[0], group, runs, strict=True)):
        assert run.raster is not None
        neurons = {layer.name: layer.neurons for layer in run.layers}
        bottom = 0
        centres = []
        for name in names:
            spikes = unpack_bits(run.raster.layers[name], (run.timesteps, neurons[name]))
            chosen = evenly_spaced(neurons[name], RASTER_NEURONS)
            step, neuron = np.nonzero(spikes[:, chosen])
            ax.plot(step + 1, bottom + neuron, "|", color=line_style(place)["color"], markersize=5, markeredgewidth=1.6)
            centres.append(bottom + len(chosen) / 2)
            bottom += len(chosen) + 6
            ax.axhline(bottom - 3, color="#999999", linewidth=0.6)
        ax.set_title(short(arm, comparisons))
        ax.set_xlim(0.5, run.timesteps + 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_yticks(centres, names)
        ax.grid(False)
        ax.set_xlabel("time step")
    label = comparisons.results.data.labels[runs[0].raster.label] if runs[0].raster else ""
    caption = (
        f"The first test sample, of class “{label}”, at the first seed. A stroke is a spike; up to {RASTER_NEURONS} "
        "neurons of each layer, evenly spaced."
    )
    return drawing("Spikes of one sample", caption, figure)


def _names(run: RunResult) -> list[str]:
    return [layer.name for layer in run.spiking_layers]


def _rates(comparisons: Comparisons, arm: Arm) -> np.ndarray:
    """Spikes per neuron of each seed, step and layer on the test part, `[seeds, T, layers]`."""
    found = []
    for run in comparisons.runs(arm).values():
        neurons = [layer.neurons for layer in run.run.spiking_layers]
        assert run.run.test is not None
        found.append(np.array(run.run.test.spikes_by_step) / neurons)
    return np.array(found)
