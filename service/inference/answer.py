"""The answer to one request whose network has run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

from pydantic_core import to_json

from service.inference.bodies import PredictAnswer, Prediction, Timing
from service.inference.decode import Decoded
from service.inference.options import ResolvedOptions
from service.inference.pending import Result
from service.inference.prediction import build_prediction
from service.telemetry.logs import new_id


@dataclass(frozen=True, slots=True)
class Answer:
    """What the predictions of one request are built from. `count` is called with each prediction."""

    version: int
    options: ResolvedOptions
    decoded: Sequence[Decoded]
    result: Result
    started: float
    count: Callable[[Prediction], None] | None = None

    def as_dict(self) -> PredictAnswer:
        """The whole answer."""
        return {
            "id": f"pred-{new_id()}",
            "model": self.options.model,
            "version": self.version,
            "predictions": list(self.predictions()),
            "timing": self._timing(),
        }

    def as_json(self) -> bytes:
        """The same as JSON, of which only one prediction at a time is in memory as objects."""
        head = to_json({"id": f"pred-{new_id()}", "model": self.options.model, "version": self.version})
        predictions = b",".join(to_json(each, inf_nan_mode="null") for each in self.predictions())
        timing = to_json(self._timing(), inf_nan_mode="null")
        return b'%b,"predictions":[%b],"timing":%b}' % (head[:-1], predictions, timing)

    def predictions(self) -> Iterator[Prediction]:
        """The prediction for each input, built as it is taken."""
        rows = self.options.rows
        for index, decoded in enumerate(self.decoded):
            own = slice(index * rows, (index + 1) * rows)
            measured = _sum(self.result.measured_mj[own])
            prediction = build_prediction(index, decoded, self.result.activities[own], measured, self.options)
            if self.result.power is not None and prediction["energy"]["measured_mj"] is not None:
                power = self.result.power
                prediction["energy"]["measurement"] = {
                    "source": power.source,
                    "window_s": power.window_s,
                    "idle_w": power.idle_w,
                }
            if self.count is not None:
                self.count(prediction)
            yield prediction

    def _timing(self) -> Timing:
        return {
            "queue_ms": self.result.queue_ms,
            "compute_ms": self.result.compute_ms,
            "total_ms": (perf_counter() - self.started) * 1000,
            "batch_size": self.result.batch_size,
        }


def _sum(measured_mj: Sequence[float | None]) -> float | None:
    """None where the energy of a part is unknown."""
    known = [each for each in measured_mj if each is not None]
    return sum(known) if len(known) == len(measured_mj) else None
