"""Networks that run in TorchServe: the service in front decodes, queues and answers, and sends it whole batches."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import httpx
import torch

from contract.card import Card, CardError, read_card
from contract.errors import (
    BadRequest,
    DeadlineExceeded,
    ModelError,
    Overloaded,
    ServiceError,
    ShuttingDown,
    Unavailable,
)
from service.engine.interface import Activity, CheckpointError, Sample
from service.engine.torchscript import TorchScriptEngine
from service.engine.torchserve_wire import CARD_HEADER, MEDIA_TYPE, card_digest, pack_samples, unpack_activities

log = logging.getLogger(__name__)


class TorchServe:
    """One TorchServe at `url`, to which the models' archives are registered under their names and versions.

    `token_file` is the `key_file.json` that it writes, or a file that holds the inference token alone; it is read again
    when the token is refused, since a new start makes a new one. None for a TorchServe without authorization. Every
    call takes at most `timeout_seconds`.
    """

    def __init__(self, url: str, *, token_file: Path | None, timeout_seconds: float) -> None:
        self._token_file = token_file
        self._token: str | None = None
        self._client = httpx.Client(base_url=url, timeout=timeout_seconds, trust_env=False)

    def load(self, path: Path, device: torch.device) -> TorchScriptEngine:
        """The checkpoint at `path` of a store, `<name>/<version>/model.pt`, of which only the card is read here.

        TorchServe need not be there yet. Raises `CheckpointError` for a checkpoint without a valid card.
        """
        try:
            return TorchServeEngine(read_card(path), self, path.parent.parent.name, int(path.parent.name))
        except CardError as error:
            raise CheckpointError(str(error)) from error

    def run(self, model: str, version: int, digest: str, body: bytes) -> bytes:
        """Run one packed batch and return its packed results.

        Raises `Unavailable` where TorchServe or its worker is not there, does not let us in, or has another checkpoint;
        `DeadlineExceeded` where it does not answer in time; `MemoryError` for a batch that it has no room for; and what
        the handler refused or failed on.
        """
        sent = self._token
        answer = self._post(model, version, digest, body)
        if _is_refused(answer) and self._read_token() != sent:
            answer = self._post(model, version, digest, body)
        if answer.status_code == httpx.codes.OK:
            return answer.content
        log.warning("TorchServe answered %d for %s/%d: %.500s", answer.status_code, model, version, answer.text)
        raise _failure(answer, model, version)

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


class TorchServeEngine(TorchScriptEngine):
    """A checkpoint whose network is in TorchServe."""

    def __init__(self, card: Card, server: TorchServe, model: str, version: int) -> None:
        self.card = card
        self.device = torch.device("cpu")
        self._server = server
        self._model = model
        self._version = version
        self._digest = card_digest(card)

    def run(self, samples: Sequence[Sample]) -> list[Activity]:
        """Run `samples` as one batch, as `TorchScriptEngine.run` does; raises what `TorchServe.run` raises."""
        answer = self._server.run(self._model, self._version, self._digest, pack_samples(samples))
        try:
            return unpack_activities(answer, self.card, len(samples))
        except BadRequest as error:
            raise ModelError(error.message) from error


def _is_refused(answer: httpx.Response) -> bool:
    """TorchServe says 400 to a wrong token, and 401 elsewhere."""
    return answer.status_code == 401 or (answer.status_code == 400 and '"InvalidKeyException"' in answer.text)


def _failure(answer: httpx.Response, model: str, version: int) -> Exception:
    """What became of a batch, from the handler's error body or from TorchServe's own."""
    own = _own_error(answer)
    if own is not None:
        code, message = own
        by_code = {kind.code: kind for kind in (ModelError, Overloaded, ShuttingDown)}
        return Unavailable(message) if code == "conflict" else by_code.get(code, ServiceError)(message)
    if _is_refused(answer):
        return Unavailable("TorchServe does not accept the service's token")
    match answer.status_code:
        case 404:
            return Unavailable(f"TorchServe has no {model}/{version}: its archive must be registered there")
        case 413:
            return MemoryError("TorchServe takes no batch of so many bytes")
        case 507 if "Worker died" not in answer.text:  # which it says with the same status
            return MemoryError("TorchServe's worker has not enough memory for the batch")
        case 503:
            return Unavailable(f"TorchServe has no worker for {model}/{version}, or too much is waiting; try again")
        case _:
            return Unavailable("TorchServe or its worker failed; try again")


def _own_error(answer: httpx.Response) -> tuple[str, str] | None:
    try:
        error = answer.json()["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, LookupError, TypeError):
        return None
