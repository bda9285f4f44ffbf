"""The tensors of every model: which inputs it takes and which outputs it gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from contract.card import InputSpec
from service.inference.bodies import Prediction
from service.open_inference.bodies import TensorMetadata

INPUTS = {"image": ("BYTES", 1), "pixels": ("UINT8", 4), "recording": ("BYTES", 1), "events": ("INT64", 2)}
"""Datatype and number of dimensions of each input."""

SHAPES = {"image": "[N]", "pixels": "[N, C, H, W]", "recording": "[N]", "events": "[M, 5]"}


@dataclass(frozen=True, slots=True)
class Output:
    """An output: its datatype, whether it has a value for each class, and how a prediction gives its values."""

    datatype: Literal["BYTES", "INT64", "FP64"]
    value: Callable[[Prediction], Any]
    by_class: bool = False


def _scores(prediction: Prediction) -> list[float]:
    """The score of each class, in the order of class ids; the prediction has all of them in `top_k`."""
    by_id = {each["class_id"]: each["score"] for each in prediction["top_k"]}
    return [by_id[class_id] for class_id in range(len(by_id))]


OUTPUTS = {
    "label": Output("BYTES", lambda prediction: prediction["label"]),
    "class_id": Output("INT64", lambda prediction: prediction["class_id"]),
    "score": Output("FP64", lambda prediction: prediction["score"]),
    "scores": Output("FP64", _scores, by_class=True),
    "spikes": Output("INT64", lambda prediction: prediction["spikes"]["total"]),
    "accumulates": Output("INT64", lambda prediction: prediction["energy"]["accumulates"]),
    "multiply_accumulates": Output("INT64", lambda prediction: prediction["energy"]["multiply_accumulates"]),
    "energy_nj": Output("FP64", lambda prediction: prediction["energy"]["estimate_nj"]),
}
"""The outputs by name, in the order in which they are returned by default."""


def inputs_of(spec: InputSpec) -> list[TensorMetadata]:
    """The inputs of a model; a request has one of them."""
    if spec.kind == "image":
        return [_tensor("image", "BYTES", -1), _tensor("pixels", "UINT8", -1, *spec.shape)]
    return [_tensor("recording", "BYTES", -1), _tensor("events", "INT64", -1, 5)]


def outputs_of(labels: Sequence[str]) -> list[TensorMetadata]:
    """The outputs of a model with these labels."""
    return [
        _tensor(name, output.datatype, *((-1, len(labels)) if output.by_class else (-1,)))
        for name, output in OUTPUTS.items()
    ]


def _tensor(name: str, datatype: str, *shape: int) -> TensorMetadata:
    return {"name": name, "datatype": datatype, "shape": list(shape)}
