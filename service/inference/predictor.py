"""`Predictor`: the one pipeline from inputs to predictions, for every transport and for Python without a server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, Self, TypeVar

from pydantic_core import to_json

from contract.card import Card
from contract.cores import threads_for
from contract.energy import profiles_with
from contract.settings import Settings
from contract.store import Store
from service.engine.device import choose_device
from service.engine.load import load_engine
from service.inference.admission import Admission, Ticket
from service.inference.answer import Answer
from service.inference.answer_size import AnswerBytes
from service.inference.batcher import Batcher
from service.inference.bodies import PredictAnswer, Prediction
from service.inference.decoding import Inputs, decode_inputs
from service.inference.device_thread import DeviceThread, Run
from service.inference.early_exit import leads_for
from service.inference.input_tensor import Tensor
from service.inference.joint import draws_of
from service.inference.options import PredictOptions, resolve
from service.inference.raster import check_raster
from service.inference.step_batcher import StepBatcher
from service.models.registry import Registry
from service.models.version import Loaded
from service.sandbox.pool import Sandbox
from service.telemetry.metrics import Metrics
from service.telemetry.power_window import PowerWindow, power_window

ANSWERS_SHARE = 0.25  # of the queue's bytes, for large answers

T = TypeVar("T")
Source = Inputs | Callable[[], Awaitable[Inputs]]
Read = Callable[[Card], Awaitable[tuple[PredictOptions, Inputs]]]
"""Reads a request that carries its own options, for a model with this card."""

_DEFAULTS = PredictOptions()


class Models(Protocol):
    """Where a predictor finds its models: a `Registry`, or a single version."""

    async def get(self, name: str, number: int | None, *, timeout: float | None) -> Loaded:
        """A loaded version and its engine, the default version for `number` None."""


class Predictor:
    """Finds the model, decodes the inputs, runs them in batches on one device, and builds the predictions.

    It runs between `start` and `stop`, or as a context manager:

        async with Predictor.open("model_store") as predictor:
            response = await predictor.predict("digits-stl", [png])

    `power` measures the device's energy; `metrics` counts what happens here; large inputs are decoded in `sandbox`, or
    in a thread without one.
    """

    def __init__(
        self,
        models: Models,
        settings: Settings,
        *,
        power: PowerWindow | None = None,
        metrics: Metrics | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        self.profiles = profiles_with(settings.energy_profiles)
        self.admission = Admission(
            max_requests=settings.max_queue_size,
            max_bytes=settings.max_queue_bytes,
            max_seconds=settings.max_queue_seconds,
            on_drop=metrics.dropped if metrics else None,
        )
        device = DeviceThread(power=power)
        self.steps = StepBatcher(device, max_batch_size=settings.max_batch_size)
        self.batcher = Batcher(
            device,
            self.admission,
            max_batch_size=settings.max_batch_size,
            max_batch_wait_ms=settings.max_batch_wait_ms,
            max_batch_cost=settings.max_batch_cost,
            on_run=partial(_report, metrics) if metrics else None,
        )
        self.answer_bytes = AnswerBytes(settings.max_answer_bytes, int(settings.max_queue_bytes * ANSWERS_SHARE))
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self._models = models
        self._settings = settings
        self._metrics = metrics
        self._power = power
        self._sandbox = sandbox

    @classmethod
    @asynccontextmanager
    async def open(cls, *stores: Path | str, **settings: Any) -> AsyncIterator["Predictor"]:
        """A running predictor without a server, for the models in the folders `stores`; each loads on first use.

        Without folders it uses those of the service. `settings` are fields of `Settings`, which override the `SNN_`
        variables.
        """
        if stores:
            settings |= {"model_store": tuple(Path(store) for store in stores)}
        parsed = Settings(**({"preload": ()} | settings))
        device = choose_device(parsed.device)
        registry = Registry(
            Store(*parsed.model_store),
            device=device,
            preload=parsed.preload,
            poll_seconds=parsed.poll_seconds,
            max_loaded_versions=parsed.max_loaded_versions,
            load=partial(load_engine, preference=parsed.engine, threads=threads_for(parsed.threads)),
        )
        async with cls(registry, parsed, power=power_window(str(device))) as predictor:
            await registry.start()
            try:
                yield predictor
            finally:
                await registry.stop()

    async def start(self) -> None:
        """Begin to run queued requests, and to measure."""
        if self._power is not None:
            self._power.start()
        await self.batcher.start()

    async def stop(self, seconds: float | None = None) -> bool:
        """Finish the queue and stop; False if that takes more than `seconds`."""
        self.steps.stop()
        if self._power is not None:
            self._power.stop()
        is_done = await self.batcher.stop(seconds)
        self._builder.shutdown(wait=False)
        return is_done

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def predict(
        self,
        model: str,
        inputs: Source,
        options: PredictOptions = _DEFAULTS,
        *,
        version: int | None = None,
        ticket: Ticket | None = None,
    ) -> PredictAnswer:
        """The predictions of a model's version for `inputs`: files as bytes, parsed inputs, or a function to read them.

        The function is called once the model is loaded and the options are valid, so that a request that fails before
        costs no body. `ticket` bounds the request's time and memory. Raises the `ServiceError` of the step that fails.
        """
        answer, held = await self._answer(model, inputs, options, version, ticket)
        try:
            return await self._off_loop(answer.as_dict) if held else answer.as_dict()
        finally:
            self.answer_bytes.give(held)

    async def predict_json(
        self,
        model: str,
        inputs: Source,
        options: PredictOptions = _DEFAULTS,
        *,
        version: int | None = None,
        ticket: Ticket | None = None,
    ) -> tuple[bytes, int]:
        """The same as JSON, with the bytes to give back to `answer_bytes` once it has been sent, 0 for a small one."""
        answer, held = await self._answer(model, inputs, options, version, ticket)
        if not held:
            return to_json(answer.as_dict(), inf_nan_mode="null"), 0
        return await self._built(answer, held, Answer.as_json), held

    async def infer(
        self,
        model: str,
        read: Read,
        build: Callable[[Answer], T],
        *,
        version: int | None = None,
        ticket: Ticket | None = None,
    ) -> tuple[T, int]:
        """What `build` makes of the answer to a request whose options are in its body, and the bytes to give back.

        `read` is called once the model is loaded.
        """
        started = perf_counter()
        async with self._version(model, version, ticket) as loaded:
            options, inputs = await read(loaded.engine.card)
            try:
                answer, held = await self._run(loaded, model, inputs, options, ticket, started)
            finally:
                if isinstance(inputs, Tensor):
                    inputs.close()
        return await self._built(answer, held, build), held

    async def _built(self, answer: Answer, held: int, build: Callable[[Answer], T]) -> T:
        """Build an answer, a large one off the loop; if that fails, give back the bytes that it holds."""
        if not held:
            return build(answer)
        try:
            return await self._off_loop(partial(build, answer))
        except BaseException:
            self.answer_bytes.give(held)
            raise

    async def _answer(
        self, model: str, inputs: Source, options: PredictOptions, version: int | None, ticket: Ticket | None
    ) -> tuple[Answer, int]:
        """Run the network; what the answer is built from, and the bytes that it holds in `answer_bytes`."""
        started = perf_counter()
        async with self._version(model, version, ticket) as loaded:
            return await self._run(loaded, model, inputs, options, ticket, started)

    @asynccontextmanager
    async def _version(self, model: str, version: int | None, ticket: Ticket | None) -> AsyncIterator[Loaded]:
        """A loaded version, which stays in memory meanwhile."""
        loaded = await self._models.get(model, version, timeout=ticket.remaining if ticket else None)
        loaded.version.hold()
        try:
            yield loaded
        finally:
            loaded.version.release()

    async def _run(
        self,
        loaded: Loaded,
        model: str,
        inputs: Source,
        options: PredictOptions,
        ticket: Ticket | None,
        started: float,
    ) -> tuple[Answer, int]:
        card, group = loaded.engine.card, loaded.version.group
        resolved = resolve(options, model, card, self._settings, self.profiles, group, loaded.version.reference)
        size_of = partial(
            self.answer_bytes.check,
            card=resolved.card,
            detail=resolved.detail,
            top_k=resolved.top_k,
            estimators=len(resolved.estimators),
            decisions=1 if resolved.joint is None else resolved.joint.decisions,
        )
        size_of(1)
        if resolved.detail == "raster":
            check_raster(loaded.engine, 1, self._settings.max_raster_values)
        leads = leads_for(options.exit, model, loaded.engine)
        body = await inputs() if callable(inputs) else inputs
        client = ticket.client if ticket else ""
        decoded = await decode_inputs(body, resolved.decoding, self._sandbox, client=client)
        if resolved.detail == "raster":
            check_raster(loaded.engine, len(decoded), self._settings.max_raster_values)
        held = self.answer_bytes.take(size_of(len(decoded)))
        try:
            samples = [row for each in decoded for row in draws_of(each.sample, resolved.rows)]
            result = await self.batcher.submit(loaded, samples, ticket, leads, raster=resolved.detail == "raster")
        except BaseException:
            self.answer_bytes.give(held)
            raise
        count = None
        if self._metrics is not None:
            self._metrics.waited(model, result.queue_ms / 1000)
            count = partial(_count, self._metrics, model)
        return Answer(loaded.version.number, resolved, decoded, result, started, count), held

    async def _off_loop(self, build: Callable[[], T]) -> T:
        """Build a large answer without keeping others from theirs."""
        return await asyncio.get_running_loop().run_in_executor(self._builder, build)


def _report(metrics: Metrics, model: str, run: Run) -> None:
    metrics.run(model, rows=run.rows, seconds=run.seconds, joules=run.joules)


def _count(metrics: Metrics, model: str, prediction: Prediction) -> None:
    metrics.prediction(
        model,
        spikes=prediction["spikes"]["total"],
        accumulates=prediction["energy"]["accumulates"],
        multiply_accumulates=prediction["energy"]["multiply_accumulates"],
        estimate_nj=prediction["energy"]["estimate_nj"],
        profile=prediction["energy"]["profile"],
    )
