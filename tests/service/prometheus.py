"""Metrics as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

from service.telemetry.metrics import Metrics

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Samples:
    """The value of each sample in a text of metrics, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(metrics: Metrics) -> Samples:
    """The value of each sample of a service's metrics."""
    return parse(metrics.render().decode())
