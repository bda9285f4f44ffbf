"""The same predictions inside of TorchServe: one checkpoint, the requests that TorchServe hands over together.

A `.mar` holds this file and the checkpoint; everything else is the installed project's, with its `SNN_` settings from
TorchServe's environment. What comes in is what `POST /v1/models/{name}/predict` takes, apart from forms, with the query
as headers; what goes out is the same. TorchServe wants one class in this file, and no other.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from pydantic_core import to_json

from contract.cores import available_cores, choose_threads
from contract.energy import profiles_with
from contract.errors import Conflict, ServiceError, TooLarge, UnsupportedMediaType
from contract.settings import load
from service.engine.torchscript import TorchScriptEngine
from service.engine.torchserve_wire import CARD_HEADER, card_digest, pack_activities, unpack_samples
from service.engine.torchserve_wire import MEDIA_TYPE as BATCH_TYPE
from service.http.failures import error_response
from service.inference.admission import Admission
from service.inference.batcher import Batcher
from service.inference.decode import decode_all
from service.inference.device_thread import DeviceThread
from service.inference.inputs import MEDIA_TYPES, read_inputs
from service.inference.options import PredictOptions, predictions, resolve
from service.parsing import explain, unknown_name
from service.telemetry.energy_meter import energy_meter
from service.telemetry.logs import new_id

# Besides options, TorchServe hands over the body and, from `/invocations`, what it chose the model by.
_NOT_OPTIONS = ("body", "model_name", "model_version")
_PREFIX = "x-snn-"
_TAKEN = tuple(kind for kind in MEDIA_TYPES if kind != "multipart/form-data")

log = logging.getLogger(__name__)


class TorchServeHandler:
    """Answers the requests of one batch of TorchServe's; each succeeds or fails alone.

    They go through the service's own queue and device, on an event loop that runs while TorchServe waits.
    """

    def initialize(self, context: Any) -> None:
        """Load and warm up the checkpoint on the GPU that TorchServe names, else on the CPU.

        Raises `CheckpointError` or `InvalidSettings`, which TorchServe logs.
        """
        # TorchServe would parse JSON less strictly than the service does.
        os.environ["TS_DECODE_INPUT_REQUEST"] = "false"
        properties, model = context.system_properties, context.manifest["model"]
        gpu = properties.get("gpu_id")
        device = torch.device("cpu" if gpu is None or not torch.cuda.is_available() else f"cuda:{gpu}")
        settings = load()
        threads = choose_threads(available_cores()) if settings.threads == "auto" else settings.threads
        torch.set_num_threads(threads)
        engine = TorchScriptEngine.load(Path(properties["model_dir"]) / model["serializedFile"], device)
        engine.warm_up()
        self._engine = engine
        self._version = int(model["modelVersion"])
        self._settings = settings
        self._profiles = profiles_with(settings.energy_profiles)
        self._loop = asyncio.Runner()
        self._loop.run(self._start(DeviceThread(threads=threads, meter=energy_meter(device))))

    def handle(self, data: Sequence[Mapping[str, Any]], context: Any) -> list[bytes]:
        """JSON for each request of the batch, with its own status."""
        return self._loop.run(self._answer_all(data, context))

    async def _start(self, device: DeviceThread) -> None:
        settings = self._settings
        self._batcher = Batcher(
            device,
            Admission(max_requests=settings.max_queue_size, max_bytes=settings.max_queue_bytes),
            max_batch_size=settings.max_batch_size,
            max_batch_wait_ms=0.0,
            max_batch_cost=settings.max_batch_cost,
        )
        await self._batcher.start()

    async def _answer_all(self, data: Sequence[Mapping[str, Any]], context: Any) -> list[bytes]:
        return await asyncio.gather(*(self._answer(index, given, context) for index, given in enumerate(data)))

    async def _answer(self, index: int, given: Mapping[str, Any], context: Any) -> bytes:
        try:
            headers = {name.lower(): value for name, value in context.get_all_request_header(index).items()}
            kind, data = _media_type(headers), bytes(given.get("body") or b"")
            if kind == BATCH_TYPE:
                answer = await self._run(data, headers.get(CARD_HEADER.lower()))
            elif len(data) > self._settings.max_body_bytes:
                raise TooLarge(f"the body is larger than the {self._settings.max_body_bytes} bytes that are taken")
            else:
                asked = _read_options(given, headers)
                answer = await self._predict(kind, data, asked, context.model_name)
            context.set_response_content_type(index, kind if kind == BATCH_TYPE else "application/json")
            return answer
        except ServiceError as error:
            failure = error_response(error)
        except Exception:
            log.exception("a request failed")
            failure = error_response(ServiceError("the handler failed on this request; TorchServe's log says how"))
        for name in ("content-type", "retry-after"):
            if name in failure.headers:
                context.set_response_header(index, name, failure.headers[name])
        context.set_response_status(code=failure.status_code, idx=index)
        return bytes(failure.body)

    async def _run(self, data: bytes, digest: Any) -> bytes:
        """One batch of the service that stands in front."""
        card = self._engine.card
        if digest != card_digest(card):
            raise Conflict("TorchServe has another checkpoint under this name and version: archive this one, or update")
        ran = await self._batcher.submit(self._engine, unpack_samples(data, card))
        return pack_activities(ran.activities)

    async def _predict(self, kind: str, data: bytes, asked: PredictOptions, model: str) -> bytes:
        started = time.perf_counter()
        card = self._engine.card
        wanted = resolve(asked, card, self._settings, self._profiles)
        is_recording = wanted.options.format is not None
        inputs = read_inputs(kind, data, is_recording=is_recording, max_inputs=self._settings.max_inputs)
        decoded = decode_all(inputs, card, wanted.options)
        ran = await self._batcher.submit(self._engine, [each.sample for each in decoded])
        answer = {
            "id": f"pred-{new_id()}",
            "model": model,
            "version": self._version,
            "predictions": predictions(decoded, ran, card, wanted),
            "timing": {
                "queue_ms": ran.queue_ms,
                "compute_ms": ran.compute_ms,
                "total_ms": (time.perf_counter() - started) * 1000,
                "batch_size": ran.batch_size,
            },
        }
        return to_json(answer, inf_nan_mode="null")


def _read_options(given: Mapping[str, Any], headers: Mapping[str, Any]) -> PredictOptions:
    """Headers such as `X-SNN-Top-K`, since TorchServe passes the query on from `/invocations` alone."""
    query = {name: bytes(value).decode(errors="replace") for name, value in given.items() if name not in _NOT_OPTIONS}
    named = {name.removeprefix(_PREFIX): value for name, value in headers.items() if name.startswith(_PREFIX)}
    options = query | {name.replace("-", "_"): value for name, value in named.items()}
    for name in options:
        if name not in PredictOptions.model_fields:
            raise unknown_name(name, PredictOptions.model_fields, "an option of a prediction")
    try:
        return PredictOptions.model_validate(options)
    except ValidationError as error:
        raise explain(error.errors(include_url=False, include_input=False)) from error


def _media_type(headers: Mapping[str, Any]) -> str:
    found = str(headers.get("content-type", "")).lower().partition(";")[0].strip()
    if found not in (*_TAKEN, BATCH_TYPE):
        shown = repr(found) if found else "missing"
        raise UnsupportedMediaType(f"the Content-Type is {shown}, it must be one of {', '.join(_TAKEN)}")
    return found
