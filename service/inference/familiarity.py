"""How far an input is from what the model was trained on, and how probable its decision is."""

from collections.abc import Iterator, Sequence
from math import exp

import numpy as np

from contract.reference import Reference
from service.engine.interface import Activity, ImageSample, Sample
from service.inference.bodies import InputWarning


def warnings_of(sample: Sample, activity: Activity, reference: Reference) -> list[InputWarning]:
    """What is unlike the training data, the most telling first; empty for an input like those.

    `activity` is that of all time steps.
    """
    return [{"code": code, "message": message} for code, message in _differences(sample, activity, reference)]


def probability_of(scores: Sequence[float], reference: Reference) -> float:
    """How probable it is that the class of the highest score is right, for inputs like the training data."""
    best = max(scores)
    return 1 / sum(exp((score - best) / reference.confidence.temperature) for score in scores)


def _differences(sample: Sample, activity: Activity, reference: Reference) -> Iterator[tuple[str, str]]:
    if activity.input == 0 and reference.input.low > 0:
        yield "blank_input", "the input is blank: the network got no spikes"
        return
    if isinstance(sample, ImageSample) and reference.bright is not None and reference.lit is not None:
        bright, lit = float(np.mean(sample.pixels >= 128)), float(np.mean(sample.pixels > 0))
        usual = f"{reference.bright.median:.0%} in training"
        if bright > reference.bright.high and bright > 0.5:
            yield "inverted_input", f"{bright:.0%} of the input is bright, {usual}: is it inverted? invert=auto helps"
            return
        if bright < reference.bright.low and reference.bright.median > 0.5:
            yield "inverted_input", f"{bright:.0%} of the input is bright, {usual}: is it inverted? invert=auto helps"
            return
        if lit > reference.lit.high:
            yield (
                "background",
                f"{lit:.0%} of the input is not black, {reference.lit.median:.0%} in training: background=auto takes "
                "the level of the paper off",
            )
            return
    if activity.input not in reference.input:
        yield (
            "unusual_input",
            _unusual("the input has", activity.input, "spikes", reference.input.low, reference.input.high),
        )
    first = int(activity.spikes[:, 0].sum())
    if first not in reference.first_layer:
        low, high = reference.first_layer.low, reference.first_layer.high
        yield "unusual_activity", _unusual("the first layer has", first, "spikes", low, high)


def _unusual(what: str, found: int, unit: str, low: float, high: float) -> str:
    return f"{what} {found} {unit}, {low:.0f} to {high:.0f} in training: the answer may mean nothing"
