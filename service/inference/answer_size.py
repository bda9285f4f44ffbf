"""How large an answer will be, known before its network runs, and how much all large answers may hold together."""

from math import prod

from contract.card import Card
from contract.errors import AnswerTooLarge, Overloaded
from service.inference.bodies import Detail

LARGE = 256 * 1024
"""Answers from this size on are built in a thread and sent in pieces."""

# Bytes of JSON, rounded up.
_PREDICTION, _CLASS, _LAYER, _LAYER_SPIKES, _STEP, _SCORE = 1300, 80, 250, 150, 150, 22
_ESTIMATE, _DECISION = 2500, 200
_RASTER, _VALUE = 200, 4  # a layer of a raster, and a value of the network's input


def prediction_bytes(card: Card, detail: Detail, top_k: int, *, estimators: int = 0, decisions: int = 1) -> int:
    """The most bytes that one prediction has as JSON.

    `estimators` say something about its energy, and `decisions` are joined in it.
    """
    size = (
        estimators * _ESTIMATE + _PREDICTION + (top_k + 1) * (_CLASS + card.longest_label) + len(card.layers) * _LAYER
    )
    if decisions > 1:
        size += _DECISION + decisions * (_DECISION + card.longest_label)
    if detail in ("layers", "raster"):
        size += len(card.layers) * _LAYER_SPIKES
    if detail in ("timesteps", "raster"):
        size += card.timesteps * (_STEP + len(card.labels) * _SCORE)
    if detail == "raster":
        steps = card.timesteps
        size += sum(_RASTER + layer.neurons * steps * (len(str(layer.neurons)) + 1) for layer in card.spiking_layers)
        size += prod(card.input.shape) * (1 if card.input.kind == "image" else steps) * _VALUE
    return size


class AnswerBytes:
    """Bounds one answer by `max_bytes`, and all large ones together, from before they run until they are sent."""

    def __init__(self, max_bytes: int, max_together: int) -> None:
        self.held = 0
        self._max_bytes = max_bytes
        self._max_together = max(max_bytes, max_together)

    def check(
        self, count: int, card: Card, detail: Detail, top_k: int, *, estimators: int = 0, decisions: int = 1
    ) -> int:
        """The size of an answer with `count` predictions, at most; `AnswerTooLarge` if it is beyond the limit."""
        size = count * prediction_bytes(card, detail, top_k, estimators=estimators, decisions=decisions)
        if size > self._max_bytes:
            param, advice = _excess(size // count, card, detail, top_k, estimators)
            raise AnswerTooLarge(
                f"the answer to {count} input{'s' * (count > 1)} would have up to {size} bytes; the limit is "
                f"{self._max_bytes}: {advice}{' or draws' * (decisions > 1 and param == 'top_k')}"
                f"{', or send fewer inputs' * (count > 1)}",
                param=param,
            )
        return size

    def take(self, size: int) -> int:
        """Hold a large answer until `give`, and return the bytes to give back; `Overloaded` if there is no room."""
        if size < LARGE:
            return 0
        if self.held + size > self._max_together:
            raise Overloaded("other large answers hold all the memory they may; try again later")
        self.held += size
        return size

    def give(self, size: int) -> None:
        """Give back what `take` returned."""
        self.held -= size


def _excess(size: int, card: Card, detail: Detail, top_k: int, estimators: int) -> tuple[str, str]:
    """The parameter that makes most of a prediction's `size`, and what to do about it."""
    if estimators * _ESTIMATE * 2 > size:
        return "energy", "leave out energy"
    plain = prediction_bytes(card, "summary", top_k, estimators=estimators)
    return (
        ("detail", f"leave out detail={detail}")
        if detail in ("timesteps", "raster") and plain * 2 < size
        else ("top_k", "lower top_k")
    )
