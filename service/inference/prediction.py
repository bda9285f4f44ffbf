"""The network's activity on a sample -> the prediction in the response."""

from collections.abc import Sequence

from contract.card import Card
from contract.energy import Energy, estimate, estimates_of
from service.engine.interface import Activity
from service.inference.bodies import ClassScore, Detail, Prediction, Spikes, TimeStep
from service.inference.decode import Decoded
from service.inference.familiarity import probability_of, warnings_of
from service.inference.joint import join
from service.inference.options import ResolvedOptions
from service.inference.raster import input_of, raster_of


def build_prediction(
    index: int,
    decoded: Decoded,
    activities: Sequence[Activity],
    measured_mj: float | None,
    options: ResolvedOptions,
) -> Prediction:
    """The prediction for the input at `index`: decision, counts and energy.

    A class's score is its votes divided by (time steps x voting neurons), one division in 64 bits. The highest score
    wins; of equal scores the lower class id comes first. The time steps are those that were run: all of them, unless
    the sample ended early. `activities` are one, or those of a joint decision, whose counts are summed over all their
    time steps. `measured_mj` is the input's share of its batches' measured energy. Fields that belong to a `detail`, to
    an early exit or to a joint decision are present only with it; probability and warnings only without the latter two,
    for a model with a reference.
    """
    card, joint = options.card, None
    steps = sum(len(each.scores) for each in activities)
    if options.joint is None:
        [activity] = activities
        most = steps * card.voters
        scores = [count / most for count in activity.totals.votes]
    else:
        activity, scores, joint = join(activities, card, options.joint)
    best: list[ClassScore] = [
        {"class_id": k, "label": card.labels[k], "score": scores[k]} for k in activity.totals.ranking[: options.top_k]
    ]
    prediction: Prediction = {
        "index": index,
        "class_id": best[0]["class_id"],
        "label": best[0]["label"],
        "score": best[0]["score"],
        "top_k": best,
        "preprocessing": decoded.preprocessing,
        "spikes": _spikes(activity, card, steps, options.detail),
        "energy": _energy(activity, steps, measured_mj, options),
    }
    if options.reference is not None and options.joint is None and options.exit == "none":
        prediction["probability"] = probability_of(scores, options.reference)
        if found := warnings_of(decoded.sample, activity, options.reference):
            prediction["warnings"] = found
    if options.exit != "none":
        prediction["steps_used"] = steps
    if joint is not None:
        prediction["joint"] = joint
    if options.detail in ("timesteps", "raster"):
        prediction["timesteps"] = _timesteps(activity, card.voters * len(activities))
    if options.detail == "raster":
        prediction["raster"] = raster_of(activity, card)
        prediction["input"] = input_of(decoded.sample, card)
    return prediction


def _energy(activity: Activity, steps: int, measured_mj: float | None, options: ResolvedOptions) -> Energy:
    card, counts = options.card, activity.totals
    energy = estimate(card, counts.synops, options.profile, measured_mj, timesteps=steps)
    if options.estimators:
        energy["estimates"] = estimates_of(
            card, counts.synops, counts.spikes, options.estimators, options.profile, steps
        )
    return energy


def _spikes(activity: Activity, card: Card, steps: int, detail: Detail) -> Spikes:
    by_layer = activity.totals.spikes
    total = sum(by_layer)
    spikes: Spikes = {
        "total": total,
        "input": activity.input,
        "per_neuron_per_step": total / max(card.neurons * steps, 1),
    }
    if detail in ("layers", "raster"):
        spikes["layers"] = [
            {"name": layer.name, "spikes": count, "firing_rate": count / max(layer.neurons * steps, 1)}
            for layer, count in zip(card.spiking_layers, by_layer, strict=True)
        ]
    if detail in ("timesteps", "raster"):
        spikes["timesteps"] = activity.spikes.sum(axis=1).tolist()
    return spikes


def _timesteps(activity: Activity, voters: int) -> list[TimeStep]:
    """The votes of each time step; of equal classes the first leads, as it does over all time steps."""
    scores = activity.scores / voters
    leaders = activity.scores.argmax(axis=1).tolist()
    return [
        {"step": step, "class_id": leader, "score": float(scores[step, leader]), "scores": scores[step].tolist()}
        for step, leader in enumerate(leaders)
    ]
