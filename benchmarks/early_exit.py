"""What an early exit saves on the shipped models: accuracy, steps, operations and energy, and samples per second.

    python -m benchmarks.early_exit digits-stl
    python -m benchmarks.early_exit digits-stl mnist-stl=DATA/mnist nmnist-stl=DATA/nmnist --svg docs/early-exit.svg

Each argument is a model of the store and the folder of its data set. The leads of a confident exit are found on the
samples that chose the epoch, as `python -m training calibrate` does, and measured on the test part. For the speed, all
time steps and the early exits take turns on the same samples, in the service's engine on one thread.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
from contract.card import Card, read_card
from contract.early_exit import lossless_leads
from contract.energy import PROFILES, operations_nj
from contract.store import Store
from service.engine.device import CPU
from service.engine.interface import EventSample, ImageSample, Sample
from service.engine.load import load_engine
from training.calibrate import calibration_part
from training.data import Images, Samples
from training.export.calibration import conformal_leads, gap_leads
from training.export.evaluate import Evaluation, evaluate, metrics, run_batches
from training.export.event_form import load_fastest
from training.learning.time_bins import load_again

Leads = tuple[int, ...] | None

SHARES = (0.001, 0.005, 0.02, 0.05)
"""Of wrong decisions that a rule allows: `eps` of the gap, `alpha` of the conformal rule."""
SHOWN = ("none", "lossless", "gap 0.005", "gap 0.02", "conformal 0.01", "conformal 0.05")
TIMED = ("lossless", "gap 0.005")
BATCH_SIZES = (1, 8, 32)


@dataclass(frozen=True)
class Model:
    """A shipped model, and the least leads of each exit by name."""

    card: Card
    checkpoint: Path
    test: Samples
    exits: dict[str, Leads]


def find_exits(card: Card, votes: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, Leads]:
    """The leads of every exit, from the votes `[N, T, K]` of the samples to calibrate on."""
    lossless = lossless_leads(card.timesteps, card.voters)
    found: dict[str, Leads] = {"none": None, "lossless": lossless}
    for share in SHARES:
        found[f"gap {share:g}"] = gap_leads(votes, labels, share, lossless)
    for share in (0.01, *SHARES):
        found[f"conformal {share:g}"] = conformal_leads(votes, labels, share, lossless)
    return found


def prepare(name: str, data_dir: Path | None) -> Model:
    """Load the newest version of a model and its data set, and find the leads."""
    store = Store(Path("model_store"))
    checkpoint = store.checkpoint_path(name, store.versions(name)[-1])
    card = read_card(checkpoint)
    dataset = load_again(card, data_dir, every_event=True)
    samples, _ = calibration_part(dataset, card)
    runs = run_batches(load_fastest(checkpoint), samples)
    votes = np.concatenate([scores.transpose(0, 1).numpy() for _, (scores, _, _) in runs]).astype(np.int64)
    return Model(card, checkpoint, dataset.test, find_exits(card, votes, samples.labels.numpy()))


def measure(model: Model) -> dict[str, Evaluation]:
    """Every exit on the test part."""
    form = load_fastest(model.checkpoint)
    return {name: evaluate(form, model.test, leads=leads) for name, leads in model.exits.items()}


def operations_of(card: Card, found: Evaluation) -> float:
    """Synaptic operations of a sample."""
    return metrics(found, card.layers, float(found.steps.double().mean())).synops_per_sample


def print_accuracy(card: Card, found: dict[str, Evaluation]) -> None:
    """One row for each of the exits that are shown."""
    whole = found["none"]
    for name in SHOWN:
        each = metrics(found[name], card.layers, float(found[name].steps.double().mean()))
        energy = operations_nj(each.accumulates_per_sample, each.multiply_accumulates_per_sample, PROFILES["cmos-45nm"])
        print_row(
            card.name,
            name,
            f"{each.accuracy:.2%}",
            f"{float((found[name].predictions == whole.predictions).double().mean()):.2%}",
            f"{float(found[name].steps.double().mean()):.2f} of {card.timesteps}",
            f"{each.synops_per_sample:,.0f}",
            f"{1 - each.synops_per_sample / operations_of(card, whole):.1%}",
            f"{energy:,.0f}",
        )


def print_speed(model: Model, options: argparse.Namespace) -> None:
    """One row for each batch size: all time steps, and how many times faster the early exits are."""
    engine = load_engine(model.checkpoint, CPU)
    samples = first_samples(model.test, max(BATCH_SIZES) * 4)
    for size in BATCH_SIZES:
        batches = [samples[start : start + size] for start in range(0, len(samples), size)]

        def run(leads: Leads, batches: Sequence[Sequence[Sample]] = batches) -> None:
            for batch in batches:
                engine.run(batch, leads)

        runners = {name: partial(run, model.exits[name]) for name in ("none", *TIMED)}
        taken = interleaved(runners, rounds=options.rounds, seconds=options.seconds, clock=options.clock)
        rates = [per_second(len(samples), taken[name]) for name in ("none", *TIMED)]
        faster = [times_faster(taken[name], taken["none"]) for name in TIMED]
        print_row(model.card.name, engine.choice.name, str(size), *rates, *faster)


def first_samples(samples: Samples, count: int) -> list[Sample]:
    """The first samples of the test part, as the service gets them."""
    indices = range(min(count, len(samples)))
    if isinstance(samples, Images):
        return [ImageSample(samples.pixels[index].numpy()) for index in indices]
    return [EventSample(np.asarray(samples[index])) for index in indices]  # type: ignore[index]


def draw(found: dict[str, tuple[Card, dict[str, Evaluation]]], path: Path) -> None:
    """Test accuracy against operations: a panel for each model, a line for each rule over its shares."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * len(found), 3), layout="constrained")
    for ax, (name, (card, by_exit)) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        whole = operations_of(card, by_exit["none"])
        for rule, marker in (("none", "o"), ("lossless", "s"), ("gap", "."), ("conformal", "x")):
            points = sorted(
                (100 * operations_of(card, each) / whole, 100 * each.accuracy)
                for exit, each in by_exit.items()
                if exit.split()[0] == rule
            )
            ax.plot(*zip(*points, strict=True), marker=marker, linewidth=1, label=rule)
        ax.set_title(name, fontsize=10)
        ax.set_xlabel("operations, % of all time steps")
    figure.axes[0].set_ylabel("test accuracy, %")
    figure.axes[-1].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL[=DATA]", help="a model, and the folder of its data set")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw accuracy against operations")
    parser.add_argument("--rounds", type=positive, default=7, help="turns of each competitor (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.2, help="length of a turn (default: %(default)s)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="time passed, or CPU time of the thread")
    options = parser.parse_args()
    use_one_thread()
    models = []
    for argument in options.models:
        name, _, folder = argument.partition("=")
        models.append(prepare(name, Path(folder) if folder else None))
    print_header("model", "exit", "test accuracy", "same class", "time steps", "operations", "saved", "nJ, cmos-45nm")
    found = {}
    for model in models:
        measured = measure(model)
        print_accuracy(model.card, measured)
        found[model.card.name] = model.card, measured
    print(f"\n{describe_machine()}; {options.clock} time, {options.rounds} rounds\n")
    rates = [f"exit={name}, samples/s" for name in ("none", *TIMED)]
    print_header("model", "engine", "batch", *rates, *(f"{name} over none" for name in TIMED))
    for model in models:
        print_speed(model, options)
    if options.svg is not None:
        draw(found, options.svg)


if __name__ == "__main__":
    main()
