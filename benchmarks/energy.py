"""Measured energy against estimated energy, over networks of different activity on this CPU.

    sudo .venv/bin/python -m benchmarks.energy
    .venv/bin/python -m benchmarks.energy --table --data-dir DATA

A preset's network with fresh weights gets inputs and thresholds with which more or fewer of its neurons fire, and runs
in the event engine for some seconds, while RAPL counts the energy of the processor packages; the power at rest is
measured before and taken off. Absolute numbers of a CPU and of an estimate say nothing about each other, so all are
relative to the first row: an estimator that is right about what costs energy here grows as the measurement does.
Without a RAPL counter that can be read, as in most virtual machines, only the estimates are printed.

`--table` prints where the shipped models stand, as in the README.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.activity import ACTIVITIES
from benchmarks.energy_table import print_table
from benchmarks.inference import NETWORKS, check_event_network, event_network, untrained_card
from benchmarks.machine import describe_machine, positive, print_header, print_row, use_one_thread
from benchmarks.subjects import fresh, make_lively
from contract.energy import ESTIMATORS, PROFILES, estimates_of
from contract.store import Store
from service.telemetry.energy_meter import POWERCAP, EnergyMeter, energy_meter
from training.export.checkpoint import inference_form

ROOT = Path(__file__).parents[1]
MODELS = ["digits-stl", "mnist-stl", "fashion-stl", "nmnist-stl"]


def run_for(meter: EnergyMeter, seconds: float, work: Callable[[], object] | None = None) -> tuple[float, float, int]:
    """Joules and seconds of `work` again and again, or of rest; and how often it ran."""
    before, started, calls = meter.read(), time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        if work is None:
            time.sleep(0.1)
        else:
            work()
            calls += 1
    after, passed = meter.read(), time.perf_counter() - started
    if before is None or after is None:
        raise SystemExit("the counter can no longer be read")
    return after - before, passed, calls


def millijoules(meter: EnergyMeter, work: Callable[[], object], seconds: float, idle_w: float, samples: int) -> float:
    """Energy of a sample above rest; `work` runs so many `samples`."""
    joules, passed, calls = run_for(meter, seconds, work)
    return (joules - idle_w * passed) * 1000 / (calls * samples)


def row(activity: float, meter: EnergyMeter | None, idle_w: float, options: argparse.Namespace) -> list[float]:
    """Synaptic activity, millijoules above rest (0 if they are not measured), and nanojoules of each estimator."""
    subject = fresh(options.network, quick=options.quick)
    shape = subject.encoder.timesteps, options.batch_size, *subject.spec.shape
    x = (torch.rand(shape) < activity).float()
    make_lively(subject.network, x, quiet_share=1 - activity)
    card = untrained_card(subject)
    network = event_network(subject, card)
    if network is None:
        raise SystemExit(1)
    check_event_network(network, inference_form(subject.network), x)
    counts = network.forward(x.numpy())
    synops, spikes = (each.sum((0, 1)) / options.batch_size for each in (counts.synops, counts.spikes))
    found = estimates_of(card, synops.tolist(), spikes.tolist(), ESTIMATORS, PROFILES["cmos-45nm"])
    operations, lemaire, yan = found
    assert isinstance(operations["estimate_nj"], float)
    assert isinstance(lemaire["estimate_nj"], float)
    work = partial(network.forward, x.numpy())
    taken = millijoules(meter, work, options.seconds, idle_w, options.batch_size) if meter else 0.0
    reached = float(synops.sum()) / (subject.flop / 2)
    memories = yan["by_memory_nj"]
    return [reached, taken, operations["estimate_nj"], lemaire["estimate_nj"], memories["register"], memories["sram"]]


def times(now: float, first: float) -> str:
    """Nanojoules as a multiple of the first row's."""
    return f"{now / first:.2f} x {first:.4g} nJ" if first > 0 else "not above rest"


def compare(meter: EnergyMeter | None, options: argparse.Namespace) -> None:
    """Print a row for each activity, relative to the first."""
    idle_w = 0.0
    if meter is not None:
        joules, passed, _ = run_for(meter, options.seconds)
        idle_w = joules / passed
    print("energy measured by RAPL: " + (f"at rest {idle_w:.1f} W\n" if meter else "no counter can be read here\n"))
    estimated = ("`operations`", "`memory-lemaire`", "`memory-yan`, registers", "`memory-yan`, SRAM")
    print_header("synaptic activity", "measured", *estimated)
    first: list[float] | None = None
    with torch.inference_mode():
        for activity in ACTIVITIES[:2] if options.quick else ACTIVITIES:
            reached, taken, *numbers = row(activity, meter, idle_w, options)
            first = first or [taken, *numbers]
            pairs = zip([taken * 1e6, *numbers], [first[0] * 1e6, *first[1:]], strict=True)
            measured, *grown = (times(now, then) for now, then in pairs)
            print_row(f"{reached:.1%}", measured if meter else "not measured", *grown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default=NETWORKS[0], help="default: %(default)s")
    parser.add_argument("--batch-size", type=positive, default=8, metavar="B", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a measurement (default: %(default)s)")
    parser.add_argument("--powercap", type=Path, default=POWERCAP, help="folder of the counters (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tiny network and short measurements: a try")
    parser.add_argument("--table", action="store_true", help="where the shipped models stand, as Markdown")
    parser.add_argument("--models", nargs="+", default=MODELS, help="with --table; default: the shipped ones")
    parser.add_argument("--store", type=Path, default=ROOT / "model_store", help="with --table")
    parser.add_argument("--data-dir", type=Path, help="with --table: the data sets, for cards without counts")
    options = parser.parse_args()
    use_one_thread()
    if options.table:
        print_table(Store(options.store), options.models, options.data_dir)
        return
    if options.quick:
        options.seconds = 0.2
    print(f"{describe_machine()}; {options.seconds:g} s a measurement, batch {options.batch_size}; {options.network}")
    compare(energy_meter("cpu", options.powercap), options)


if __name__ == "__main__":
    main()
