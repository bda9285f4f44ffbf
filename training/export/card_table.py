"""A checkpoint's card as text tables."""

from collections.abc import Sequence

from contract.card import Card, Metrics
from contract.energy import PROFILES, operations_nj
from contract.layer_statistics import LayerStatistics
from contract.workload import Workload
from training.export.evaluate import Evaluation, metrics
from training.export.joint_evaluation import JointEvaluation


def accuracy_table(card: Card, metrics: Metrics) -> str:
    """Accuracy, spikes per sample, firing rate per layer, synaptic operations and estimated energy."""
    on_validation = card.learning.measured_on == "validation"  # a fine-tuning has no test part
    rows = [] if on_validation else [("test accuracy", f"{metrics.accuracy:.2%} of {metrics.samples}")]
    if metrics.validation_accuracy is not None:
        rows.append(("validation accuracy", f"{metrics.validation_accuracy:.2%} of {metrics.validation_samples}"))
    rows.append(("spikes per sample", f"{metrics.spikes_per_sample:,.1f}"))
    rows += [(f"firing rate {name}", f"{rate:.4f}") for name, rate in metrics.firing_rate.items()]
    rows += [
        ("synaptic operations per sample", f"{metrics.synops_per_sample:,.0f}"),
        ("  accumulates", f"{metrics.accumulates_per_sample:,.0f}"),
        ("  multiply-accumulates", f"{metrics.multiply_accumulates_per_sample:,.0f}"),
        (f"energy per sample (operations, {metrics.energy_profile})", f"{metrics.energy_nj_per_sample:,.1f} nJ"),
    ]
    return _table(rows)


def joint_table(joint: JointEvaluation) -> str:
    """Accuracy of a joint decision beside that of its parts, and the sums of their spikes, operations and energy."""
    mean = sum(joint.alone) / len(joint.alone)
    rows = [
        ("joint decision", f"{joint.rule} of {len(joint.alone)}"),
        ("test accuracy", f"{joint.accuracy:.2%} of {joint.samples}"),
        ("  of one decision alone", f"{mean:.2%} on average, {min(joint.alone):.2%} to {max(joint.alone):.2%}"),
        ("decisions that agree with it", f"{joint.agreement:.2%}"),
        ("spikes per sample", f"{joint.spikes:,.1f}"),
        ("synaptic operations per sample", f"{joint.operations:,.0f}"),
        ("  accumulates", f"{joint.accumulates:,.0f}"),
        ("  multiply-accumulates", f"{joint.multiply_accumulates:,.0f}"),
        (f"energy per sample (operations, {joint.energy_profile})", f"{joint.energy_nj:,.1f} nJ"),
    ]
    return _table(rows)


def exit_table(card: Card, exit: str, whole: Evaluation, ended: Evaluation) -> str:
    """An early exit beside all time steps: accuracy, steps, spikes, operations, energy, and what its bound allows."""
    steps = float(ended.steps.double().mean())
    all_steps, early = metrics(whole, card.layers, card.timesteps), metrics(ended, card.layers, steps)
    ends_early = float((ended.steps < card.timesteps).double().mean())
    same = float((whole.predictions == ended.predictions).double().mean())
    heading = ("", "all time steps", f"exit={exit}")
    rows = [
        ("test accuracy", f"{all_steps.accuracy:.2%} of {all_steps.samples}", f"{early.accuracy:.2%}"),
        ("time steps per sample", f"{card.timesteps}", f"{steps:.2f}"),
        ("spikes per sample", f"{all_steps.spikes_per_sample:,.1f}", f"{early.spikes_per_sample:,.1f}"),
        ("synaptic operations", f"{all_steps.synops_per_sample:,.0f}", f"{early.synops_per_sample:,.0f}"),
        (
            f"energy ({early.energy_profile})",
            f"{all_steps.energy_nj_per_sample:,.1f} nJ",
            f"{early.energy_nj_per_sample:,.1f} nJ",
        ),
    ]
    saved = 1 - early.synops_per_sample / all_steps.synops_per_sample if all_steps.synops_per_sample else 0.0
    return "\n".join(
        [
            _table([heading, *rows]),
            f"{ends_early:.1%} of the samples end early, which saves {saved:.1%} of the operations",
            f"{same:.2%} of the classes are those of all time steps",
            _bound(card, exit),
        ]
    )


def _bound(card: Card, exit: str) -> str:
    """What an early exit promises."""
    found = card.calibration
    if exit == "lossless" or found is None:
        return "bound: every class is that of all time steps"
    where = f"{found.samples:,} samples of the {found.measured_on} part"
    if found.rule == "gap":
        return f"bound: of the samples that end at a step, at most {found.gap.eps:.2%} are wrong, on {where}"
    return f"bound: at most {found.conformal.alpha:.2%} of all samples end early and are wrong, after {where}"


def card_report(card: Card, version: int) -> str:
    """The whole card as text."""
    learning, source = card.learning, card.input
    rows = [
        ("model", f"{card.name}/{version}"),
        ("created", f"{card.created_at:%Y-%m-%d %H:%M} UTC"),
        ("labels", ", ".join(card.labels)),
        ("input", f"{source.kind} {source.channels} x {source.height} x {source.width}"),
        ("encoder", ", ".join(f"{key} {value}" for key, value in card.encoder.model_dump(exclude_none=True).items())),
        ("network", card.network),
        ("neuron", f"LIF, tau {card.neuron.tau}, threshold per {card.neuron.threshold_scope}"),
        (
            "learning",
            ", ".join(f"{key} {value}" for key, value in learning.model_dump(mode="json", exclude_none=True).items()),
        ),
        ("parent", card.parent or "none"),
        ("made with", ", ".join(f"{key} {value}" for key, value in card.provenance.model_dump().items())),
    ]
    heading = ("layer", "output", "neurons", "synapses", "operation", "exact sums")
    layers = [
        (
            layer.name,
            " x ".join(str(size) for size in layer.out_shape),
            f"{layer.neurons:,}",
            f"{layer.synapses:,}",
            layer.operation or "",
            "yes" if layer.exact else "no",
        )
        for layer in card.layers
    ]
    tables = [_table(rows), _table([heading, *layers])]
    if card.statistics is not None:
        tables.append(_statistics_table(card.statistics))
    tables.append(accuracy_table(card, card.metrics))
    if card.workload is not None:
        tables += [_workload_table(card.workload), _idle_table(card, card.workload)]
    return "\n\n".join(tables)


def _statistics_table(statistics: Sequence[LayerStatistics]) -> str:
    """Thresholds after training, how they moved, and neurons that say nothing."""
    heading = ("thresholds", "mean", "spread", "minimum", "at or below 0", "before", "after", "silent", "saturated")
    rows = [
        (
            each.layer,
            f"{each.mean:.3f}",
            f"{each.std:.3f}",
            f"{each.minimum:.3f}",
            f"{each.not_positive:.1%}",
            _sparkline(each.histogram.before),
            f"{_sparkline(each.histogram.after)} {each.histogram.low:.2f} to {each.histogram.high:.2f}",
            f"{each.silent:,}",
            f"{each.saturated:,}",
        )
        for each in statistics
    ]
    return _table([heading, *rows])


def _workload_table(workload: Workload) -> str:
    """NeuroBench's metrics, and how active the synapses are."""
    activity = "none behind spikes" if workload.synaptic_activity is None else f"{workload.synaptic_activity:.2%}"
    return _table(
        [
            ("NeuroBench, per sample", f"on {workload.samples:,} samples"),
            ("footprint", f"{workload.footprint:,} bytes"),
            ("connection sparsity", f"{workload.connection_sparsity:.4f}"),
            ("activation sparsity", f"{workload.activation_sparsity:.4f}"),
            ("effective ACs", f"{workload.effective_acs:,.0f}"),
            ("effective MACs", f"{workload.effective_macs:,.0f}"),
            ("dense operations", f"{workload.dense:,}"),
            ("membrane updates", f"{workload.membrane_updates:,}"),
            ("synaptic activity", f"{activity}, crossover {workload.crossover_activity:.2%}"),
        ]
    )


def _idle_table(card: Card, workload: Workload) -> str:
    """Weights of zero, the operations spent at them, and the cost of a blank input."""
    heading = ("layer", "weights", "zero", "operations", "at weights of zero", "blank input", "its spikes")
    rows = [
        (
            each.layer,
            f"{each.weights:,}",
            f"{each.zero_weights / each.weights:.1%}",
            f"{each.operations:,.0f}",
            f"{1 - each.effective_operations / each.operations:.2%}" if each.operations else "",
            f"{each.idle_operations:,}",
            f"{each.idle_spikes:,}",
        )
        for each in workload.layers
    ]
    profile = PROFILES["cmos-45nm"]
    accumulates = {layer.name for layer in card.layers if layer.operation == "ac"}
    idle = operations_nj(
        sum(each.idle_operations for each in workload.layers if each.layer in accumulates),
        sum(each.idle_operations for each in workload.layers if each.layer not in accumulates),
        profile,
    )
    return f"{_table([heading, *rows])}\na blank input costs {idle:,.1f} nJ (operations, {profile.name})"


def _sparkline(counts: Sequence[int]) -> str:
    """A histogram in one line of text: blank where there is nothing, a full block at the largest count."""
    most = max(counts)
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // most)] for count in counts)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
