"""The card of a trained network, written the same way after a training from scratch and after a fine-tuning."""

from datetime import UTC, datetime

from contract.card import Card, EventEncoder, ImageEncoder, InputSpec, Layer, Learning, Metrics, Neuron, Norm
from contract.layer_statistics import LayerStatistics
from contract.workload import Workload
from training.export.provenance import provenance


def make_card(
    name: str,
    *,
    labels: tuple[str, ...],
    input: InputSpec,
    encoder: ImageEncoder | EventEncoder,
    neuron: Neuron,
    network: str,
    norm: Norm,
    bias: bool,
    voters: int,
    layers: tuple[Layer, ...],
    learning: Learning,
    metrics: Metrics,
    statistics: tuple[LayerStatistics, ...],
    workload: Workload,
    parent: str | None = None,
) -> Card:
    """The validated card, created now by this release.

    `network` is the structure string, `layers` are those that `build_network` returned, `parent` is the `name/version`
    that a fine-tuning started from. Raises pydantic's `ValidationError` where the parts contradict each other.
    """
    return Card(
        name=name,
        created_at=datetime.now(UTC),
        labels=labels,
        input=input,
        encoder=encoder,
        neuron=neuron,
        network=network,
        norm=norm,
        bias=bias,
        voters=voters,
        layers=layers,
        learning=learning,
        metrics=metrics,
        statistics=statistics,
        workload=workload,
        parent=parent,
        provenance=provenance(),
    )
