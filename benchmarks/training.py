"""Speed of training: forward and backward pass of a network, beside the same network in snnTorch and SpikingJelly.

    python -m benchmarks.training
    python -m benchmarks.training --networks mnist-stl --batch-size 32

One thread, one process; the competitors take turns, and a ratio compares two of the same round. All train weights,
batch norm and a threshold for each neuron, from the same start, on the same batch, with the same loss and surrogate
gradient. Batch norm takes the statistics of each time step. First, without dropout, all have to emit the same spikes,
and SpikingJelly to give our gradients. Two things differ: snnTorch lets no gradient through the reset, so its gradients
are others, and cheaper; and SpikingJelly is also timed with its own batch norm, which takes one set of statistics over
all time steps. Ours also counts spikes and synaptic operations. The optimizer's step is not part of it.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

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
from benchmarks.peers import Peer, snntorch_network, spikes_of, spikingjelly_network
from benchmarks.subjects import CLASSES, Subject, fresh, make_lively
from training.snn.network import SpikingNetwork

BATCH_SIZES = {"mnist-stl": 100, "mnist-paper": 16}
PEERS: dict[str, Callable[[SpikingNetwork], Peer]] = {
    "snnTorch": snntorch_network,
    "SpikingJelly": spikingjelly_network,
}
OTHER_STATISTICS = "SpikingJelly, own batch norm"

# Weights are not on a grid here and convolutions are called for other shapes, so currents differ by rounding. A spike
# that turns with them changes the statistics of the batch, and through these a few others.
MOST_DIFFERENT_SPIKES = 1e-4
MOST_DIFFERENT_GRADIENT = 1e-2


def backward(network: nn.Module, x: Tensor, labels: Tensor, voters: int) -> None:
    """The loss of `training.learning.module` (firing rates against the label) and its gradients, from scratch."""
    network.zero_grad()
    output = network(x)
    votes = output if isinstance(output, Tensor) else output[0]
    target = functional.one_hot(labels, CLASSES).to(votes.dtype)
    functional.mse_loss(votes.mean(0) / voters, target).backward()


def gradient(network: nn.Module) -> Tensor:
    """All gradients in a row, layer by layer: synapses, batch norm, thresholds."""
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None])


def check(network: SpikingNetwork, peers: dict[str, Peer], x: Tensor, labels: Tensor) -> None:
    """Exit unless all emit the same spikes for input `x`, and SpikingJelly has the same gradients; say what differs."""
    neurons = [layer.neurons for layer in network.spiking_layers().values()]
    spikes = torch.cat(spikes_of(network, neurons, x))
    backward(network, x, labels, network.voters)
    ours = gradient(network)
    for name, peer in peers.items():
        different = int((torch.cat(spikes_of(peer, peer.neurons, x)) != spikes).sum())
        backward(peer, x, labels, network.voters)
        distance = float((gradient(peer) - ours).norm() / ours.norm())
        print(f"{name}: {different:,} of {len(spikes):,} spikes unlike ours; distance of the gradients {distance:.2g}")
        if different > MOST_DIFFERENT_SPIKES * len(spikes):
            sys.exit(f"{name} does not compute the same network")
        if name == "SpikingJelly" and distance > MOST_DIFFERENT_GRADIENT:
            sys.exit(f"{name} does not compute the same gradients")


def set_dropout(network: nn.Module, *, on: bool) -> None:
    """Switch the dropout layers alone."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.train(on)


def measure(subject: Subject, batch_size: int, options: argparse.Namespace) -> None:
    """Check one network and print its table."""
    network = subject.network.train()
    x = subject.encode(subject.images(batch_size))
    labels = torch.randint(0, CLASSES, (batch_size,))
    set_dropout(network, on=False)
    make_lively(network, x)
    peers = {name: copied(network) for name, copied in PEERS.items()}
    print(f"\n{subject.name}: {subject.structure}, T = {subject.encoder.timesteps}, batch {batch_size}")
    check(network, peers, x, labels)
    peers[OTHER_STATISTICS] = spikingjelly_network(network, norm_by_step=False)
    for module in (network, *peers.values()):
        set_dropout(module, on=True)
    taken = interleaved(
        {
            name: partial(backward, module, x, labels, network.voters)
            for name, module in {"ours": network, **peers}.items()
        },
        rounds=options.rounds,
        seconds=options.seconds,
        clock=options.clock,
    )
    print()
    print_header("network", "batch", "samples/s", *(f"over {name}" for name in peers))
    ratios = [times_faster(taken["ours"], taken[name]) for name in peers]
    print_row(subject.name, str(batch_size), per_second(batch_size, taken["ours"]), *ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=BATCH_SIZES, default=tuple(BATCH_SIZES), help="default: all")
    parser.add_argument("--batch-size", type=positive, metavar="B", help=f"default: {BATCH_SIZES}")
    parser.add_argument("--rounds", type=positive, default=7, help="turns of each competitor (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn (default: %(default)s)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="time passed, or CPU time of the thread")
    parser.add_argument(
        "--quick", action="store_true", help="a tiny network and one short round: a try, no measurement"
    )
    options = parser.parse_args()
    if options.quick:
        options.networks, options.batch_size, options.rounds, options.seconds = ("mnist-stl",), 8, 1, 0.01
    use_one_thread()
    print(f"{describe_machine()}; {options.clock} time, {options.rounds} rounds")
    for name in options.networks:
        measure(fresh(name, quick=options.quick), options.batch_size or BATCH_SIZES[name], options)


if __name__ == "__main__":
    main()
