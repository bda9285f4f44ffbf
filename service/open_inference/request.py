"""What an inference request asks for besides its tensor: options of the prediction, outputs, and time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from contract.card import Card
from contract.errors import InvalidParameter
from service.inference.options import PredictOptions
from service.open_inference.bodies import InferBody, RequestOutput
from service.open_inference.elements import BINARY_SIZE
from service.open_inference.tensors import OUTPUTS
from service.parsing import explain, unknown_name

TIMEOUT = "timeout_ms"
TRITON_TIMEOUT = "timeout"  # of Triton's clients, in microseconds
BINARY_OUTPUTS = "binary_data_output"
BINARY_OUTPUT = "binary_data"

_PARAMETERS = [name for name in PredictOptions.model_fields if name not in ("detail", "top_k", "energy")]
_OF_INPUT = ("format", "camera")  # or of the request: some clients have no parameters of inputs


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output to return, and whether as binary data."""

    name: str
    is_binary: bool


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request without its tensor: its id, the outputs to return, and the time that it may take, if it says so."""

    id: str
    outputs: tuple[Wanted, ...]
    seconds: float | None
    options: PredictOptions

    def options_for(self, card: Card) -> PredictOptions:
        """The options with as many classes as the outputs need."""
        top_k = len(card.labels) if any(OUTPUTS[each.name].by_class for each in self.outputs) else 1
        return self.options.model_copy(update={"top_k": top_k})


def parse_request(body: InferBody) -> InferRequest:
    """The request in `body`; `InvalidParameter` for parameters and outputs that do not exist or have a wrong value."""
    [given] = body.inputs
    known = [*_PARAMETERS, TIMEOUT, TRITON_TIMEOUT, BINARY_OUTPUTS]
    _check_names(body.parameters, known, "a parameter of a request")
    _check_names(given.parameters, [*_OF_INPUT, BINARY_SIZE], f"a parameter of the input {given.name!r}")
    options = {name: value for name, value in body.parameters.items() if name in _PARAMETERS}
    options |= {name: value for name, value in given.parameters.items() if name in _OF_INPUT}
    if given.name != "recording" and options.keys() & set(_OF_INPUT):
        raise InvalidParameter(f"format and camera are for recordings, not for {given.name!r}", param="format")
    try:
        parsed = PredictOptions.model_validate(options, strict=True)
    except ValidationError as error:
        raise explain(error.errors(include_url=False, include_input=False)) from error
    return InferRequest(
        body.id, _outputs(body.outputs, _flag(body.parameters, BINARY_OUTPUTS)), _seconds(body.parameters), parsed
    )


def _outputs(given: Sequence[RequestOutput], binary_by_default: bool) -> tuple[Wanted, ...]:
    if not given:
        return tuple(Wanted(name, binary_by_default) for name in OUTPUTS)
    wanted = {}
    for each in given:
        if each.name not in OUTPUTS:
            error = unknown_name(each.name, OUTPUTS, "an output")
            error.param = "outputs"
            raise error
        if each.name in wanted:
            raise InvalidParameter(f"the output {each.name!r} is named twice", param="outputs")
        _check_names(each.parameters, [BINARY_OUTPUT], "a parameter of an output")
        wanted[each.name] = Wanted(each.name, _flag(each.parameters, BINARY_OUTPUT, binary_by_default))
    return tuple(wanted.values())


def _seconds(parameters: Mapping[str, Any]) -> float | None:
    for name, per_second in ((TIMEOUT, 1e3), (TRITON_TIMEOUT, 1e6)):
        if name in parameters:
            value = parameters[name]
            if type(value) is not int or value < 1:
                raise InvalidParameter(f"{name} must be a positive integer, not {value!r}", param=name)
            return value / per_second
    return None


def _flag(parameters: Mapping[str, Any], name: str, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidParameter(f"{name} must be true or false, not {value!r}", param=name)
    return value


def _check_names(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for name in given:
        if name not in known:
            error = unknown_name(name, known, what)
            error.param = "parameters"
            raise error
