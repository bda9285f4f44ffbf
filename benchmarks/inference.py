"""Speed of inference: the network as the service runs it, beside the same network in other frameworks.

    python -m benchmarks.inference
    python -m benchmarks.inference --networks mnist-stl --batch-sizes 1 8 --profile

One thread, one process, inference mode; the competitors take turns, and a ratio compares two of the same round. All get
the same encoded input, weights and thresholds, and first have to emit the same spikes. The event engine, which the
service uses where it was built, and TorchScript also count spikes and synaptic operations; the others count nothing. A
model that the store holds under the preset's name is measured with its trained weights; else the weights are fresh,
with thresholds that make every layer fire.
"""

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.machine import (
    CLOCKS,
    MATRIX_FLOP,
    Runner,
    describe_machine,
    interleaved,
    matrix_runner,
    per_second,
    positive,
    print_header,
    print_row,
    times_faster,
    use_one_thread,
)
from benchmarks.peers import Peer, plain_loop, snntorch_network, spikes_of, spikingjelly_network
from benchmarks.subjects import CLASSES, Subject, fresh, shipped
from contract.card import CARD_FILE, Card, Learning, Metrics, read_card
from contract.store import CHECKPOINT_FILE, Store
from event_engine.errors import Unsuitable
from event_engine.network import EventNetwork
from service.engine.device import CPU
from service.engine.event import EventEngine
from service.engine.interface import Engine, ImageSample
from service.engine.torchscript import TorchScriptEngine
from training.export.checkpoint import inference_form, script
from training.export.provenance import provenance
from training.snn.encode import build_encoder
from training.snn.network import SpikingNetwork

STORE = Store(Path(__file__).parents[1] / "model_store")
NETWORKS = ("mnist-stl", "mnist-paper")
BATCH_SIZES = (1, 8, 32)
PEERS: dict[str, Callable[[SpikingNetwork], Peer]] = {
    "plain loop": plain_loop,
    "snnTorch": snntorch_network,
    "SpikingJelly": spikingjelly_network,
}
PROFILED_CALLS = 10
PROFILED_ROWS = 12

# Sums of grid weights are exact, so only a potential within rounding of its threshold may decide otherwise.
MOST_DIFFERENT = 1e-5

# The first group that has a part of an operator's name takes it.
WORK = {
    "convolution": ("conv",),
    "pooling": ("aten::max",),
    "linear": ("aten::addmm", "aten::linear", "aten::mm"),
    "counting": ("aten::sum", "aten::mv", "aten::addmv", "aten::matmul", "aten::dot"),
    "LIF, element by element": ("aten::mul", "aten::add", "aten::ge"),
    "memory: new, filled, copied": ("empty", "fill", "zero", "copy", "aten::to", "aten::cat", "clone", "contiguous"),
    "interpreter": ("forward",),
}


def load(name: str, *, quick: bool) -> tuple[Subject, TorchScriptEngine]:
    """The network in training form and the checkpoint of it that the service would run."""
    cpu = CPU
    if not quick and (versions := STORE.versions(name)):
        path = STORE.checkpoint_path(name, versions[-1])
        return shipped(STORE, read_card(path), versions[-1]), TorchScriptEngine.load(path, cpu)
    subject = fresh(name, quick=quick)
    scripted = script(subject.network, build_encoder(subject.spec, subject.encoder))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / CHECKPOINT_FILE
        torch.jit.save(scripted, str(path), _extra_files={CARD_FILE: untrained_card(subject).model_dump_json()})
        return subject, TorchScriptEngine.load(path, cpu)


def event_network(subject: Subject, card: Card) -> EventNetwork | None:
    """The network in the event engine, None with a line that says why."""
    weights = {name: tensor.numpy() for name, tensor in inference_form(subject.network).state_dict().items()}
    try:
        return EventNetwork(card, {f"network.{name}": tensor for name, tensor in weights.items()})
    except Unsuitable as error:
        print(f"without the event engine: {error}")
        return None


def untrained_card(subject: Subject) -> Card:
    """A card for a network that has learnt nothing: zero epochs, and no score."""
    return Card(
        name=subject.name,
        created_at=datetime.now(UTC),
        labels=tuple(str(label) for label in range(CLASSES)),
        input=subject.spec,
        encoder=subject.encoder,
        neuron=subject.neuron,
        network=subject.structure,
        voters=subject.network.voters,
        layers=subject.layers,
        learning=Learning(mode="stl", dataset="none", samples=1, epochs=0, optimizer="none", lr=0, seed=0),
        metrics=Metrics(
            accuracy=0,
            samples=1,
            spikes_per_sample=0,
            firing_rate={},
            synops_per_sample=0,
            accumulates_per_sample=0,
            multiply_accumulates_per_sample=0,
            energy_nj_per_sample=0,
            energy_profile="none",
        ),
        provenance=provenance(),
    )


def check(served: torch.nn.Module, reference: SpikingNetwork, peers: dict[str, Peer], x: Tensor) -> None:
    """Exit unless all emit the spikes of `reference`, the eager inference form, for input `x`; say what differs."""
    expected = reference(x)
    for name, ours, theirs in zip(("scores", "spikes", "synops"), served(x), expected, strict=True):
        if not torch.equal(ours, theirs):
            sys.exit(f"the checkpoint's {name} are not those of the network that it was made from")
    neurons = [layer.neurons for layer in reference.spiking_layers().values()]
    spikes = torch.cat(spikes_of(reference, neurons, x))
    for name, peer in peers.items():
        different = int((torch.cat(spikes_of(peer, peer.neurons, x)) != spikes).sum())
        votes = int((peer(x) != expected[0]).sum())
        print(f"{name}: {different:,} of {len(spikes):,} spikes, {votes} of {expected[0].numel()} votes unlike ours")
        if different > MOST_DIFFERENT * len(spikes):
            sys.exit(f"{name} does not compute the same network")


def check_event_network(network: EventNetwork, reference: SpikingNetwork, x: Tensor) -> None:
    """Exit unless the event engine gives every number of `reference`, the eager inference form, for input `x`."""
    found = network.forward(x.numpy())
    for name, theirs in zip(("scores", "spikes", "synops"), reference(x), strict=True):
        if not np.array_equal(getattr(found, name), theirs.transpose(0, 1).numpy()):
            sys.exit(f"the event engine's {name} are not those of the network")


def firing_rates(subject: Subject, reference: SpikingNetwork, x: Tensor) -> str:
    """Spikes per neuron and time step of each layer."""
    spikes = reference(x)[1].double().mean((0, 1)).tolist()
    layers = [layer for layer in subject.layers if layer.spikes_index is not None]
    return ", ".join(f"{layer.name} {fired / layer.neurons:.0%}" for layer, fired in zip(layers, spikes, strict=True))


def measure(name: str, options: argparse.Namespace) -> None:
    """Check one network and print its table."""
    subject, checkpoint = load(name, quick=options.quick)
    reference = inference_form(subject.network)
    peers: dict[str, Peer] = {peer: copied(reference) for peer, copied in PEERS.items()}
    served = checkpoint._module  # what `TorchScriptEngine.run` runs behind the encoder
    x = subject.encode(subject.images(4))
    epochs = checkpoint.card.learning.epochs
    print(f"\n{name}: {subject.structure}, T = {subject.encoder.timesteps}, {subject.flop / 1e6:,.1f} MFLOP a sample")
    print(f"{f'trained for {epochs} epochs' if epochs else 'untrained'}; firing rates: ", end="")
    print(firing_rates(subject, reference, x))
    check(served, reference, peers, x)
    network = event_network(subject, checkpoint.card)
    engines: dict[str, Engine] = {"TorchScript": checkpoint}
    if network is not None:
        check_event_network(network, reference, x)
        engines = {"event engine": EventEngine(checkpoint.card, network), **engines}
    ours, *others = [*engines, *peers]
    print()
    print_header(
        "batch",
        f"{ours}, samples/s",
        *(f"over {other}" for other in others),
        "TorchScript, of oneDNN's matrix limit",
        f"encoded too: {ours}, samples/s",
        *(["over TorchScript"] if network is not None else []),
    )
    for batch_size in options.batch_sizes:
        images = subject.images(batch_size)
        x = subject.encode(images)
        samples = [ImageSample(pixels, seed) for seed, pixels in enumerate(images.numpy())]
        forward: dict[str, Runner] = {"TorchScript": partial(served, x)}
        if network is not None:
            forward["event engine"] = partial(network.forward, x.numpy())
        taken = interleaved(
            {
                **forward,
                **{peer: partial(network, x) for peer, network in peers.items()},
                "matrix": matrix_runner(),
                **{f"run of {name}": partial(engine.run, samples) for name, engine in engines.items()},
            },
            rounds=options.rounds,
            seconds=options.seconds,
            clock=options.clock,
        )
        limit = MATRIX_FLOP / statistics.median(taken["matrix"])
        reached = batch_size * subject.flop / statistics.median(taken["TorchScript"])
        encoded = taken[f"run of {ours}"]
        print_row(
            str(batch_size),
            per_second(batch_size, taken[ours]),
            *(times_faster(taken[ours], taken[other]) for other in others),
            f"{reached / limit:.0%} of {limit / 1e9:,.0f} GFLOP/s",
            per_second(batch_size, encoded),
            *([times_faster(encoded, taken["run of TorchScript"])] if network is not None else []),
        )
    for batch_size in options.batch_sizes if options.profile else ():
        print(f"\nWhere TorchScript's time for a batch of {batch_size} goes:")
        print_profile(partial(served, subject.encode(subject.images(batch_size))))


def print_profile(run: Runner) -> None:
    """Where the time of a call goes: share of the CPU time, by kind of work and by operator."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(PROFILED_CALLS):
            run()
    spent = {event.key: float(event.self_cpu_time_total) for event in profiler.key_averages()}
    total = sum(spent.values())
    kinds: dict[str, float] = defaultdict(float)
    for operator, microseconds in spent.items():
        kinds[kind_of(operator)] += microseconds
    for title, shares, rows in (("work", kinds, len(kinds)), ("operator", spent, PROFILED_ROWS)):
        print()
        print_header(title, "share", "µs a call")
        for key, microseconds in sorted(shares.items(), key=lambda item: -item[1])[:rows]:
            print_row(key, f"{microseconds / total:.1%}", f"{microseconds / PROFILED_CALLS:,.0f}")


def kind_of(operator: str) -> str:
    """The group of an operator's work."""
    return next((kind for kind, parts in WORK.items() if any(part in operator for part in parts)), "other")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, help="default: all")
    parser.add_argument(
        "--batch-sizes", nargs="+", type=positive, default=BATCH_SIZES, metavar="B", help="default: 1 8 32"
    )
    parser.add_argument("--rounds", type=positive, default=7, help="turns of each competitor (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.2, help="length of a turn (default: %(default)s)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="time passed, or CPU time of the thread")
    parser.add_argument(
        "--profile", action="store_true", help="also say where TorchScript's time goes, at each batch size"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a tiny network and one short round: a try, no measurement"
    )
    options = parser.parse_args()
    if options.quick:
        options.networks, options.batch_sizes = NETWORKS[:1], (1, 2)
        options.rounds, options.seconds = 1, 0.01
    use_one_thread()
    print(f"{describe_machine()}; {options.clock} time, {options.rounds} rounds")
    with torch.inference_mode():
        for name in options.networks:
            measure(name, options)


if __name__ == "__main__":
    main()
