"""How the cost of an answer grows: with time steps, batch size, neurons and spikes.

    python -m benchmarks.cost

The network of `mnist-stl` with fresh weights, batches of 8 and inputs of which 15 % are spikes; one of these changes at
a time. Wider networks have more channels in each convolution and more neurons in the hidden layer. The event engine on
one thread, without encoding; the cases of a table take turns. Times are the least of all turns, which other work on the
machine disturbs least, in CPU time of the thread.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.inference import event_network, untrained_card
from benchmarks.machine import Runner, describe_machine, interleaved, positive, print_header, print_row, use_one_thread
from benchmarks.subjects import fresh, make_lively

NETWORK = "mnist-stl"
BATCH_SIZE = 8
ACTIVITY = 0.15

STEPS = (1, 2, 4, 8, 16, 32)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
WIDTHS = (4, 8, 16, 32, 64)
ACTIVITIES = (0.01, 0.03, 0.08, 0.15, 0.25)


@dataclass(frozen=True)
class Case:
    """One network with one input; neurons, spikes and synaptic operations are those of one sample."""

    run: Runner
    batch_size: int
    neurons: int
    spikes: float
    operations: float


def make_case(
    *, batch_size: int = BATCH_SIZE, activity: float = ACTIVITY, quick: bool = False, **fields: object
) -> Case:
    """The network, with these fields of its preset replaced, and its input."""
    subject = fresh(NETWORK, quick=quick, **fields)
    x = (torch.rand(subject.encoder.timesteps, batch_size, *subject.spec.shape) < activity).float()
    make_lively(subject.network, x, quiet_share=1 - activity)
    network = event_network(subject, untrained_card(subject))
    if network is None:
        raise SystemExit("there is nothing to measure")
    counts = network.forward(x.numpy())
    each = [float(part.sum()) / batch_size for part in (counts.spikes, counts.synops)]
    return Case(partial(network.forward, x.numpy()), batch_size, network.neurons, *each)


def tables(*, quick: bool) -> Iterator[tuple[str, Mapping[str, Case]]]:
    """What changes, and the cases by its value."""
    make = partial(make_case, quick=quick)
    yield "time steps", {str(steps): make(timesteps=steps) for steps in STEPS}
    yield "batch size", {str(size): make(batch_size=size) for size in BATCH_SIZES}
    if not quick:  # whose network is always the same
        yield (
            "channels",
            {str(width): make(network=f"{width}C5-MP2-{2 * width}C5-MP2-FC{8 * width}-VOTE10") for width in WIDTHS},
        )
    yield "spikes", {f"{activity:.0%}": make(activity=activity) for activity in ACTIVITIES}


def show(what: str, cases: Mapping[str, Case], *, rounds: int, seconds: float) -> None:
    """One table."""
    taken = interleaved({name: case.run for name, case in cases.items()}, rounds=rounds, seconds=seconds, clock="cpu")
    print(f"\n{what}\n")
    print_header(what, "neurons", "spikes a sample", "operations a sample", "µs a sample", "ns an operation")
    for name, case in cases.items():
        microseconds = min(taken[name]) / case.batch_size * 1e6
        print_row(
            name,
            f"{case.neurons:,}",
            f"{case.spikes:,.0f}",
            f"{case.operations:,.0f}",
            f"{microseconds:.1f}",
            f"{microseconds * 1000 / case.operations:.3f}",
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=7, help="turns of each case (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a turn (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tiny network and short turns: a try, no measurement")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.001
    use_one_thread()
    print(f"{describe_machine()}; CPU time, {options.rounds} rounds")
    with torch.inference_mode():
        for what, cases in tables(quick=options.quick):
            show(what, cases, rounds=options.rounds, seconds=options.seconds)


if __name__ == "__main__":
    main()
