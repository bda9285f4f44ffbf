"""Networks that run in TorchServe: this service decodes, queues and responds, and sends it whole batches."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import httpx

from contract.card import Card, CardError, read_card
from contract.checkpoint import CheckpointError
from contract.errors import (
    BadRequest,
    DeadlineExceeded,
    InvalidParameter,
    ModelError,
    Overloaded,
    ServiceError,
    ShuttingDown,
    Unavailable,
)
from service.engine.device import CPU, Device
from service.engine.interface import Activity, Choice, Sample, State
from service.engine.torchserve_wire import CARD_HEADER, MEDIA_TYPE, card_digest, pack_samples, unpack_activities

log = logging.getLogger(__name__)


class TorchServe:
    """One TorchServe at `url`, where the models' archives are registered under their names and versions.

    `token_file` is the `key_file.json` that TorchServe writes, or a file that holds the inference token alone; None for
    a TorchServe without authorization. The token changes when TorchServe restarts, so a refused token is read again.
    `timeout_seconds` bounds every call.
    """

    def __init__(self, url: str, *, token_file: Path | None, timeout_seconds: float) -> None:
        self._token_file = token_file
        self._token: str | None = None
        self._client = httpx.Client(base_url=url, timeout=timeout_seconds, trust_env=False)

    def load(self, path: Path, device: Device) -> "TorchServeEngine":
        """The engine for the checkpoint at `path`, `<name>/<version>/model.pt` in a store. Only its card is read here.

        TorchServe may start later. Raises `CheckpointError` for a checkpoint without a valid card.
        """
        try:
            return TorchServeEngine(read_card(path), self, path.parent.parent.name, int(path.parent.name))
        except CardError as error:
            raise CheckpointError(str(error)) from error

    def run(self, model: str, version: int, digest: str, body: bytes) -> bytes:
        """Run one packed batch and return its packed results.

        Raises `Unavailable` if TorchServe or its worker is down, refuses the token, or has another checkpoint;
        `DeadlineExceeded` if it does not respond in time; `MemoryError` for a batch that does not fit into its memory;
        and the handler's own errors.
        """
        sent = self._token
        response = self._post(model, version, digest, body)
        if _is_refused(response) and self._read_token() != sent:
            response = self._post(model, version, digest, body)
        if response.status_code == httpx.codes.OK:
            return response.content
        log.warning("TorchServe answered %d for %s/%d: %.500s", response.status_code, model, version, response.text)
        raise _failure(response, model, version)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _post(self, model: str, version: int, digest: str, body: bytes) -> httpx.Response:
        headers = {"Content-Type": MEDIA_TYPE, CARD_HEADER: digest}
        if token := self._token or self._read_token():
            headers["Authorization"] = f"Bearer {token}"
        try:
            return self._client.post(f"/predictions/{model}/{version}", content=body, headers=headers)
        except httpx.TimeoutException as error:
            raise DeadlineExceeded("TorchServe did not answer in time") from error
        except httpx.TransportError as error:
            log.warning("TorchServe does not answer: %r", error)
            raise Unavailable("TorchServe does not answer; try again later") from error

    def _read_token(self) -> str | None:
        if self._token_file is None:
            return None
        try:
            text = self._token_file.read_text("utf-8").strip()
            self._token = json.loads(text)["inference"]["key"] if text.startswith("{") else text
        except (OSError, ValueError, LookupError, TypeError) as error:
            log.warning("TorchServe's token cannot be read: %s", type(error).__name__)
        return self._token


class TorchServeEngine:
    """An `Engine` whose network is in TorchServe. It holds no weights here, and runs whole samples only."""

    choice = Choice("torchserve", "SNN_BACKEND is torchserve")
    device = CPU
    memory_bytes = 0

    def __init__(self, card: Card, server: TorchServe, model: str, version: int) -> None:
        self.card = card
        self._server = server
        self._model = model
        self._version = version
        self._digest = card_digest(card)

    def run(
        self, samples: Sequence[Sample], leads: Sequence[int] | None = None, *, raster: bool = False
    ) -> list[Activity]:
        """Run `samples` as one batch, without `leads` or `raster`; see `Engine.run`.

        Raises what `TorchServe.run` raises.
        """
        if leads is not None:
            raise ServiceError("an early exit needs SNN_BACKEND=local")
        if raster:
            raise InvalidParameter(
                "detail=raster needs SNN_BACKEND=local: TorchServe answers counts alone", param="detail"
            )
        body = self._server.run(self._model, self._version, self._digest, pack_samples(samples))
        try:
            return unpack_activities(body, self.card, len(samples))
        except BadRequest as error:
            raise ModelError(error.message) from error

    def initial_state(self) -> State:
        """`ServiceError`: membrane potentials cannot be kept between TorchServe's requests."""
        raise ServiceError("live inputs need SNN_BACKEND=local: TorchServe keeps no state between requests")

    def step(self, samples: Sequence[Sample], states: Sequence[State]) -> list[tuple[Activity, State]]:
        """`ServiceError`, as `initial_state`."""
        raise ServiceError("live inputs need SNN_BACKEND=local: TorchServe keeps no state between requests")


def _is_refused(response: httpx.Response) -> bool:
    """Whether the token is wrong: TorchServe answers 400, other servers 401."""
    return response.status_code == 401 or (response.status_code == 400 and '"InvalidKeyException"' in response.text)


def _failure(response: httpx.Response, model: str, version: int) -> Exception:
    """The error for a failed batch, from the handler's error body or from TorchServe's own."""
    from_handler = _error_body(response)
    if from_handler is not None:
        code, message = from_handler
        by_code = {kind.code: kind for kind in (ModelError, Overloaded, ShuttingDown)}
        return Unavailable(message) if code == "conflict" else by_code.get(code, ServiceError)(message)
    if _is_refused(response):
        return Unavailable("TorchServe does not accept the service's token")
    match response.status_code:
        case 404:
            return Unavailable(f"TorchServe has no {model}/{version}: its archive must be registered there")
        case 413:
            return MemoryError("TorchServe does not accept batches of this many bytes")
        case 507 if "Worker died" not in response.text:  # reported with the same status
            return MemoryError("TorchServe's worker does not have enough memory for the batch")
        case 503:
            return Unavailable(f"TorchServe has no worker for {model}/{version}, or its queue is full; try again")
        case _:
            return Unavailable("TorchServe or its worker failed; try again")


def _error_body(response: httpx.Response) -> tuple[str, str] | None:
    """Code and message of the handler's error body, None for any other body."""
    try:
        error = response.json()["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, LookupError, TypeError):
        return None
