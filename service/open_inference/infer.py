"""`infer`: one inference request of the protocol, over the pipeline that every prediction takes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from contract.card import Card
from contract.settings import Settings
from service.inference.admission import Ticket
from service.inference.answer import Answer
from service.inference.input_tensor import Tensor
from service.inference.options import PredictOptions
from service.inference.predictor import Predictor
from service.open_inference.bodies import InferBody
from service.open_inference.request import InferRequest, parse_request

T = TypeVar("T")
Read = Callable[[], Awaitable[tuple[InferBody, Tensor]]]


async def infer(
    predictor: Predictor,
    settings: Settings,
    model: str,
    read: Read,
    build: Callable[[Answer, InferRequest], T],
    *,
    version: int | None,
    ticket: Ticket,
) -> tuple[T, int]:
    """What `build` makes of the answer, and the bytes to give back to `answer_bytes` once it has been sent.

    `read` is called once the model is loaded, so that a request for an unknown one costs no body. The time that the
    request gives itself counts from now, up to the service's maximum.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    request: InferRequest | None = None

    async def read_request(card: Card) -> tuple[PredictOptions, Tensor]:
        nonlocal request
        body, tensor = await read()
        try:
            request = parse_request(body)
            ticket.hold(max(ticket.held, tensor.size))  # more than the body, if it was compressed or is JSON
            if request.seconds is not None:
                most = settings.max_request_timeout_ms / 1000
                ticket.allow(started + min(request.seconds, most) - loop.time())
        except BaseException:
            tensor.close()
            raise
        return request.options_for(card), tensor

    def build_answer(answer: Answer) -> T:
        assert request is not None
        return build(answer, request)

    return await predictor.infer(model, read_request, build_answer, version=version, ticket=ticket)
