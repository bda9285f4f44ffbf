"""What a network did with a sample -> the prediction that a caller reads."""

import numpy as np

from contract.card import Card
from contract.energy import Profile, estimate
from service.engine.interface import Activity
from service.inference.bodies import (
    ClassScore,
    Detail,
    Energy,
    EventsPreprocessing,
    ImagePreprocessing,
    Prediction,
    Spikes,
    TimeStep,
)


def build_prediction(
    index: int,
    activity: Activity,
    card: Card,
    preprocessing: ImagePreprocessing | EventsPreprocessing | None,
    *,
    detail: Detail,
    top_k: int,
    profile: Profile,
    measured_mj: float | None,
) -> Prediction:
    """Decide, count and estimate.

    A class's score is its votes over all time steps divided by (T x voting neurons), one division in 64 bits. The
    highest wins; of equal ones the lower class id comes first. The fields of a `detail` are there only when asked for.
    """
    votes = activity.scores.sum(axis=0)
    scores = votes / (card.timesteps * card.voters)
    best: list[ClassScore] = [
        {"class_id": k, "label": card.labels[k], "score": float(scores[k])}
        for k in np.argsort(-votes, kind="stable")[:top_k].tolist()
    ]
    answer: Prediction = {
        "index": index,
        "class_id": best[0]["class_id"],
        "label": best[0]["label"],
        "score": best[0]["score"],
        "top_k": best,
        "preprocessing": preprocessing,
        "spikes": _spikes(activity, card, detail),
        "energy": _energy(activity, card, profile, measured_mj),
    }
    if detail == "timesteps":
        answer["timesteps"] = _timesteps(activity, card)
    return answer


def _spikes(activity: Activity, card: Card, detail: Detail) -> Spikes:
    by_layer = activity.spikes.sum(axis=0).tolist()
    total = sum(by_layer)
    spikes: Spikes = {
        "total": total,
        "input": activity.input,
        "per_neuron_per_step": total / max(card.neurons * card.timesteps, 1),
    }
    if detail == "layers":
        spikes["layers"] = [
            {"name": layer.name, "spikes": count, "firing_rate": count / max(layer.neurons * card.timesteps, 1)}
            for layer, count in zip(card.spiking_layers, by_layer, strict=True)
        ]
    if detail == "timesteps":
        spikes["timesteps"] = activity.spikes.sum(axis=1).tolist()
    return spikes


def _energy(activity: Activity, card: Card, profile: Profile, measured_mj: float | None) -> Energy:
    found = estimate(card, activity.synops.sum(axis=0), profile)
    return {
        "profile": found.profile,
        "estimate_nj": found.estimate_nj,
        "ann_equivalent_nj": found.ann_equivalent_nj,
        "ratio": found.ratio,
        "accumulates": found.accumulates,
        "multiply_accumulates": found.multiply_accumulates,
        "layers": [
            {
                "name": layer.name,
                "accumulates": layer.accumulates,
                "multiply_accumulates": layer.multiply_accumulates,
                "estimate_nj": layer.estimate_nj,
            }
            for layer in found.layers
        ],
        "measured_mj": measured_mj,
    }


def _timesteps(activity: Activity, card: Card) -> list[TimeStep]:
    """Each time step's own votes; the first of equal classes leads, as in the whole."""
    scores = activity.scores / card.voters
    leaders = activity.scores.argmax(axis=1).tolist()
    return [
        {"step": step, "class_id": leader, "score": float(scores[step, leader]), "scores": scores[step].tolist()}
        for step, leader in enumerate(leaders)
    ]
