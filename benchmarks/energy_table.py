"""Where models stand: synaptic activity against the crossover, and each estimate beside that of quantized networks.

Energies: spiking / dense 8-bit / quantized with matched bits. A blank input and weights of zero have shares of the
operations. Everything is a mean per test sample, on the first 1,000 of them. A card made by an older release does not
have the counts; they are measured here, for which the data set is needed.
"""

from pathlib import Path

from benchmarks.machine import print_header, print_row
from contract.card import Card, read_card
from contract.energy import ESTIMATORS, PROFILES, Estimate, Range, estimates, work_of
from contract.energy.constants import SRAM_PJ_PER_BIT
from contract.energy.memory_yan import conventional_pj
from contract.energy.work import Work
from contract.store import STATE_FILE, Store, default_version
from contract.workload import Workload
from training.export.checkpoint import inference_form, rebuild
from training.export.workload import workload
from training.learning.time_bins import as_tested, load_again
from training.snn.encode import build_encoder

PROFILE = PROFILES["cmos-45nm"]
HEADING = (
    "model",
    "synaptic activity",
    "crossover",
    "blank input",
    "at weights of zero",
    f"`operations` ({PROFILE.name}), µJ",
    "`memory-lemaire`, µJ",
    "`memory-yan`, weights in SRAM, µJ",
)


def print_table(store: Store, models: list[str], data_dir: Path | None) -> None:
    """A Markdown table with a row for each model's default version."""
    print_header(*HEADING)
    for name in models:
        version = default_version(store.versions(name), store.pointer(name), lambda _: True)
        assert version is not None, name
        checkpoint = store.checkpoint_path(name, version)
        card = read_card(checkpoint)
        print_row(*row(card, card.workload or measured_workload(card, checkpoint, data_dir)))


def measured_workload(card: Card, checkpoint: Path, data_dir: Path | None) -> Workload:
    """The workload of a checkpoint whose card has none."""
    network = inference_form(rebuild(card, checkpoint.with_name(STATE_FILE)))
    samples = as_tested(load_again(card, data_dir, every_event=False).test, card)
    return workload(network, card.layers, build_encoder(card.input, card.encoder), samples)


def row(card: Card, measured: Workload) -> tuple[str, ...]:
    """The cells of one model."""
    work = mean_work(card, measured)
    operations, lemaire, _ = estimates(ESTIMATORS, work, PROFILE)
    performed = sum(each.operations for each in measured.layers)
    effective = measured.effective_acs + measured.effective_macs
    idle = sum(each.idle_operations for each in measured.layers)
    yan = by_sram(estimates(["memory-yan"], work, PROFILE)[0], work)
    activity = measured.synaptic_activity
    return (
        f"`{card.name}`",
        "none" if activity is None else f"{activity:.1%}",
        f"{measured.crossover_activity:.1%}",
        f"{idle / performed:.0%}",
        f"{1 - effective / performed:.1%}",
        beside(operations),
        beside(lemaire),
        yan,
    )


def mean_work(card: Card, measured: Workload) -> Work:
    """The work of a mean sample."""
    by_layer = {each.layer: each.operations for each in measured.layers}
    rates = card.metrics.firing_rate
    spikes = [rates[layer.name] * layer.neurons * card.timesteps for layer in card.spiking_layers]
    return work_of(card, [by_layer[layer.name] for layer in card.synaptic_layers], spikes)


def beside(found: Estimate) -> str:
    """The spiking network, the dense network of 8 bits and the quantized one of matched bits, in microjoules."""
    _, integer, matched = found["conventional"]
    return _cell(found["estimate_nj"], integer["estimate_nj"], matched["estimate_nj"])


def by_sram(found: Estimate, work: Work) -> str:
    """The same for weights in SRAM."""
    bits = found["conventional"][2]["bits"]
    integer, matched = (conventional_pj(work, each, SRAM_PJ_PER_BIT) / 1000 for each in (8, bits))
    return _cell(found["by_memory_nj"]["sram"], integer, matched)


def _cell(*nanojoules: float | Range) -> str:
    numbers = [each for each in nanojoules if isinstance(each, float)]
    assert len(numbers) == len(nanojoules)
    return " / ".join(f"{each / 1000:.3g}" for each in numbers)
