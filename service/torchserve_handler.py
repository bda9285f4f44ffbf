"""The same predictions inside TorchServe: one checkpoint, and the requests that TorchServe batches.

A `.mar` archive holds this file and the checkpoint; everything else comes from the installed project, with its `SNN_`
settings from TorchServe's environment. Requests and responses are those of `POST /v1/models/{name}/predict`, without
forms and with the query as headers. TorchServe requires exactly one class in this file.
"""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from pydantic_core import to_json

from contract.cores import threads_for
from contract.errors import Conflict, ServiceError, TooLarge, UnsupportedMediaType
from contract.reference import read_reference
from contract.settings import load
from service.engine.device import CPU, Device
from service.engine.load import load_engine
from service.engine.torchserve_wire import CARD_HEADER, card_digest, pack_activities, unpack_samples
from service.engine.torchserve_wire import MEDIA_TYPE as BATCH_TYPE
from service.http.failures import error_response
from service.inference.inputs import MEDIA_TYPES, MULTIPART, Body
from service.inference.options import PredictOptions
from service.inference.predictor import Predictor
from service.models.single import SingleVersion
from service.models.version import Loaded, Version
from service.parsing import explain, unknown_name
from service.telemetry.power_window import power_window

# Besides options, TorchServe passes the body and, from `/invocations`, the names by which it chose the model.
_NOT_OPTIONS = ("body", "model_name", "model_version")
_PREFIX = "x-snn-"
_ACCEPTED = tuple(kind for kind in MEDIA_TYPES if kind != MULTIPART)

log = logging.getLogger(__name__)


class TorchServeHandler:
    """Answers the requests of one TorchServe batch; each succeeds or fails alone.

    They go through the service's own pipeline, on an event loop that runs while TorchServe waits.
    """

    def initialize(self, context: Any) -> None:
        """Load and warm up the checkpoint on the GPU that TorchServe names, else on the CPU.

        Raises `CheckpointError` or `InvalidSettings`, which TorchServe logs.
        """
        # TorchServe would parse JSON less strictly than the service does.
        os.environ["TS_DECODE_INPUT_REQUEST"] = "false"
        properties, model = context.system_properties, context.manifest["model"]
        gpu = properties.get("gpu_id")
        device = CPU if gpu is None or not torch.cuda.is_available() else Device("cuda", int(gpu))
        # TorchServe has batched the requests already.
        self._settings = load().model_copy(update={"max_batch_wait_ms": 0.0})
        self._loop = asyncio.Runner()
        self._loop.run(self._start(device, Path(properties["model_dir"]) / model["serializedFile"], context))

    def handle(self, data: Sequence[Mapping[str, Any]], context: Any) -> list[bytes]:
        """JSON for each request of the batch, with its own status."""
        return self._loop.run(self._answer_all(data, context))

    async def _start(self, device: Device, path: Path, context: Any) -> None:
        engine = load_engine(path, device, self._settings.engine, threads_for(self._settings.threads))
        number = int(context.manifest["model"]["modelVersion"])
        version = Version(context.model_name, number, "ready", engine.card, engine, reference=read_reference(path))
        self._loaded = Loaded(version, engine)
        self._predictor = Predictor(SingleVersion(self._loaded), self._settings, power=power_window(str(device)))
        await self._predictor.start()

    async def _answer_all(self, data: Sequence[Mapping[str, Any]], context: Any) -> list[bytes]:
        return await asyncio.gather(*(self._answer(index, request, context) for index, request in enumerate(data)))

    async def _answer(self, index: int, request: Mapping[str, Any], context: Any) -> bytes:
        try:
            headers = {name.lower(): value for name, value in context.get_all_request_header(index).items()}
            kind, data = _media_type(headers), bytes(request.get("body") or b"")
            if kind == BATCH_TYPE:
                answer = await self._run(data, headers.get(CARD_HEADER.lower()))
            elif len(data) > self._settings.max_body_bytes:
                raise TooLarge(f"the body exceeds the limit of {self._settings.max_body_bytes} bytes")
            else:
                answer = await self._predict(kind, data, _read_options(request, headers), context.model_name)
            context.set_response_content_type(index, kind if kind == BATCH_TYPE else "application/json")
            return answer
        except ServiceError as error:
            failure = error_response(error)
        except Exception:
            log.exception("a request failed")
            failure = error_response(ServiceError("the handler failed on this request; TorchServe's log has the cause"))
        for name in ("content-type", "retry-after"):
            if name in failure.headers:
                context.set_response_header(index, name, failure.headers[name])
        context.set_response_status(code=failure.status_code, idx=index)
        return bytes(failure.body)

    async def _run(self, data: bytes, digest: Any) -> bytes:
        """One batch from the service in front."""
        card = self._loaded.engine.card
        if digest != card_digest(card):
            raise Conflict("TorchServe has another checkpoint under this name and version: archive this one, or update")
        result = await self._predictor.batcher.submit(self._loaded, unpack_samples(data, card))
        return pack_activities(result.activities)

    async def _predict(self, kind: str, data: bytes, options: PredictOptions, model: str) -> bytes:
        return to_json(await self._predictor.predict(model, Body(kind, data), options), inf_nan_mode="null")


def _read_options(request: Mapping[str, Any], headers: Mapping[str, Any]) -> PredictOptions:
    """Options from headers such as `X-SNN-Top-K`, because TorchServe passes on the query of `/invocations` only."""
    query = {name: bytes(value).decode(errors="replace") for name, value in request.items() if name not in _NOT_OPTIONS}
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
    if found not in (*_ACCEPTED, BATCH_TYPE):
        shown = repr(found) if found else "missing"
        raise UnsupportedMediaType(f"the Content-Type is {shown}; it must be one of {', '.join(_ACCEPTED)}")
    return found
