"""Speed of inference against synaptic activity: time follows the spikes in the event engine, not in a dense one.

    python -m benchmarks.activity
    python -m benchmarks.activity --network mnist-paper --batch-size 1
    python -m benchmarks.activity --plot docs/activity.svg

A preset's network with fresh weights gets an input in which a share of the values is 1, and thresholds with which each
layer fires about as much. Synaptic activity is the share of synapses and time steps in which a spike arrives: measured
operations over those of a dense network. One thread; both engines give the same numbers, which is checked, and take
turns.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

import torch

from benchmarks.inference import NETWORKS, check_event_network, event_network, untrained_card
from benchmarks.machine import (
    CLOCKS,
    describe_machine,
    interleaved,
    per_second,
    positive,
    print_header,
    print_row,
    times_faster,
    use_one_thread,
)
from benchmarks.subjects import fresh, make_lively
from contract.checkpoint import methods_of
from training.export.checkpoint import inference_form, script
from training.snn.encode import build_encoder

ACTIVITIES = (0.002, 0.005, 0.01, 0.03, 0.08, 0.15, 0.25)
"""Shares of inputs that are 1, and of currents that alone reach a threshold; with what neurons keep, more fire."""


def measure(activity: float, options: argparse.Namespace) -> tuple[float, float, float] | None:
    """Print the row of one activity; the synaptic activity, and samples a second of the two engines."""
    subject = fresh(options.network, quick=options.quick)
    shape = subject.encoder.timesteps, options.batch_size, *subject.spec.shape
    x = (torch.rand(shape) < activity).float()
    make_lively(subject.network, x, quiet_share=1 - activity)
    card = untrained_card(subject)
    network = event_network(subject, card)
    if network is None:
        return None
    check_event_network(network, inference_form(subject.network), x)
    module = script(subject.network, build_encoder(subject.spec, subject.encoder))
    dense = torch.jit.freeze(module, preserved_attrs=methods_of(card), optimize_numerics=False)
    operations = network.forward(x.numpy()).synops.sum()
    reached = operations / (options.batch_size * subject.flop / 2)
    taken = interleaved(
        {"event engine": partial(network.forward, x.numpy()), "TorchScript": partial(dense, x)},
        rounds=options.rounds,
        seconds=options.seconds,
        clock=options.clock,
    )
    ours, theirs = taken["event engine"], taken["TorchScript"]
    print_row(
        f"{reached:.1%}",
        per_second(options.batch_size, ours),
        per_second(options.batch_size, theirs),
        times_faster(ours, theirs),
    )
    return reached, options.batch_size / median(ours), options.batch_size / median(theirs)


def plot(points: Sequence[tuple[float, float, float]], path: Path) -> None:
    """Draw samples a second against synaptic activity, readable in print and without colours."""
    import matplotlib as mpl  # of the extra `study`
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "activity"  # the same file for the same figures
    shares, ours, theirs = zip(*points, strict=True)
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for values, name, style in ((ours, "event engine", "o-"), (theirs, "TorchScript", "s--")):
        axes.plot([100 * share for share in shares], values, style, color="black", label=name, markersize=4)
    axes.set(xlabel="synaptic activity, %", ylabel="samples a second, one core", ylim=(0, None), xlim=(0, None))
    axes.grid(color="0.85", linewidth=0.6)
    axes.legend(frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default=NETWORKS[0], help="default: %(default)s")
    parser.add_argument("--batch-size", type=positive, default=8, metavar="B", help="default: %(default)s")
    parser.add_argument("--rounds", type=positive, default=7, help="turns of each competitor (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.2, help="length of a turn (default: %(default)s)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="time passed, or CPU time of the thread")
    parser.add_argument(
        "--quick", action="store_true", help="a tiny network and one short round: a try, no measurement"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the table as SVG, with matplotlib")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.01
    use_one_thread()
    print(f"{describe_machine()}; {options.clock} time, {options.rounds} rounds; {options.network}\n")
    print_header("synaptic activity", "event engine, samples/s", "TorchScript, samples/s", "over TorchScript")
    with torch.inference_mode():
        measured = [measure(activity, options) for activity in ACTIVITIES]
    points = [point for point in measured if point is not None]
    if options.plot is not None and points:
        plot(points, options.plot)


if __name__ == "__main__":
    main()
