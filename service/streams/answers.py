"""The messages that a live stream sends to its client, one JSON object each."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import TypedDict

from contract.errors import ServiceError
from service.streams.sessions import Decision, SessionTotals


class Ready(TypedDict):
    """The stream is open: the version that runs, the length of its time steps in µs, and T, their number."""

    type: Literal["ready"]
    model: str
    version: PositiveInt
    step_us: PositiveInt
    timesteps: PositiveInt


class DecisionMessage(TypedDict):
    """The decision after one time step, from `start_us` to `end_us`.

    `spikes`, the operations, `estimate_nj`, `events`, `late` and `dropped` are those of this step, `..._total` of all
    steps so far. With `skipped` steps before it, and after a `final` one, the network has begun anew.
    """

    type: Literal["decision"]
    step: NonNegativeInt
    start_us: int
    end_us: int
    class_id: NonNegativeInt
    label: str
    score: Annotated[float, Field(ge=0, le=1)]
    scores: NotRequired[Annotated[list[float], Field(description="The score of every class, with scores=true.")]]
    spikes: NonNegativeInt
    spikes_total: NonNegativeInt
    accumulates: NonNegativeInt
    multiply_accumulates: NonNegativeInt
    estimate_nj: float
    estimate_nj_total: float
    events: NonNegativeInt
    late: NonNegativeInt
    dropped: NonNegativeInt
    skipped: NonNegativeInt
    latency_ms: Annotated[float | None, Field(description="Since the step's last event came; null if it has none.")]
    final: NotRequired[
        Annotated[bool, Field(description="With exit: this is the decision, and the network begins anew after it.")]
    ]


class StreamFailure(TypedDict):
    """What went wrong: a stable code, a sentence, and the parameter at fault."""

    code: str
    message: str
    param: str | None


class ErrorMessage(TypedDict):
    """The stream ends because of an error."""

    type: Literal["error"]
    error: StreamFailure


class Closed(TypedDict):
    """The last message: the number of steps and events, and the sums over all steps."""

    type: Literal["closed"]
    steps: NonNegativeInt
    events: NonNegativeInt
    late: NonNegativeInt
    dropped: NonNegativeInt
    spikes_total: NonNegativeInt
    estimate_nj_total: float


ServerMessage = Ready | DecisionMessage | ErrorMessage | Closed

LONGEST_MESSAGE = 1000


def decision_message(decision: Decision, *, scores: bool) -> DecisionMessage:
    """A decision as a message, with the score of every class if `scores` is true, and `final` with an exit."""
    message: DecisionMessage = {
        "type": "decision",
        "step": decision.step,
        "start_us": decision.start_us,
        "end_us": decision.end_us,
        "class_id": decision.class_id,
        "label": decision.label,
        "score": decision.score,
        "spikes": decision.spikes,
        "spikes_total": decision.spikes_total,
        "accumulates": decision.accumulates,
        "multiply_accumulates": decision.multiply_accumulates,
        "estimate_nj": decision.estimate_nj,
        "estimate_nj_total": decision.estimate_nj_total,
        "events": decision.events,
        "late": decision.late,
        "dropped": decision.dropped,
        "skipped": decision.skipped,
        "latency_ms": decision.latency_ms,
    }
    if decision.final is not None:
        message["final"] = decision.final
    if scores:
        message["scores"] = decision.scores.tolist()
    return message


def error_message(error: ServiceError) -> ErrorMessage:
    """An error as a message."""
    return {
        "type": "error",
        "error": {"code": error.code, "message": error.message[:LONGEST_MESSAGE], "param": error.param},
    }


def closed_message(totals: SessionTotals) -> Closed:
    """What a session has done, as the last message."""
    return {
        "type": "closed",
        "steps": totals.steps,
        "events": totals.events,
        "late": totals.late,
        "dropped": totals.dropped,
        "spikes_total": totals.spikes_total,
        "estimate_nj_total": totals.estimate_nj_total,
    }
