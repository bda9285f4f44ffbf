"""From a request to the specification of a job: names looked up, data checked, `auto` replaced."""

import asyncio
import hashlib
import math
import re
import secrets
from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from contract.card import MAX_LABELS, Card, Mode
from contract.datasets.inspect import check_fits
from contract.errors import InvalidDataset, InvalidParameter, ModelNotFound, ServiceError, VersionNotFound
from contract.job_spec import HYPERPARAMETERS, DataFile, JobSpec
from contract.names import NAME_PATTERN, ModelRef
from contract.settings import Settings
from contract.store import STATE_FILE, Store
from service.fine_tuning.create_job import CreateJobBody, Hyperparameters
from service.fine_tuning.hyperparameters import (
    LEARNING_RATE_MULTIPLIER,
    auto_batch_size,
    auto_epochs,
    base_learning_rate,
)
from service.models.registry import Registry, Version
from service.parsing import unknown_name
from service.uploads.storage import Upload, Uploads

_NAME = re.compile(NAME_PATTERN)


def job_id(idempotency_key: str | None) -> str:
    """The id of a new job; with an idempotency key, always the same id for the same key."""
    if idempotency_key is None:
        return f"ftjob-{secrets.token_hex(12)}"
    return f"ftjob-{hashlib.sha256(idempotency_key.encode()).hexdigest()[:24]}"


def request_hash(requested: Any) -> str:
    """A hash of a request, in which the order of names does not matter."""
    return hashlib.sha256(to_json(_sorted(requested))).hexdigest()


async def plan(
    body: CreateJobBody,
    requested: dict[str, Any],
    *,
    identity: str,
    registry: Registry,
    store: Store,
    uploads: Uploads,
    settings: Settings,
) -> JobSpec:
    """The job that `body` asks for, within the limits of `settings`; `requested` is the same body, unchanged.

    Raises `ModelNotFound`, `VersionNotFound`, `FileNotFound`, `InvalidDataset` or `InvalidParameter`.
    """
    if (body.priority or 0) > settings.max_job_priority:
        raise InvalidParameter(f"priority: at most {settings.max_job_priority} is allowed here", param="priority")
    base = await _base(registry, body.model)
    chosen = body.chosen
    if base.group is not None:
        members = ", ".join(base.group.members)
        raise InvalidParameter(f"{base.label} is a group; fine-tune one of its members: {members}", param="model")
    card = _card(base)
    checkpoint = await asyncio.to_thread(store.checkpoint_path, base.name, base.number)
    if not await asyncio.to_thread(checkpoint.with_name(STATE_FILE).is_file):
        raise InvalidParameter(f"{base.label} has no {STATE_FILE}, from which training would continue", param="model")
    training = await _file(uploads, body.training_file, card, chosen.labels, "training_file")
    validation = None
    if body.validation_file is not None:
        validation = await _file(uploads, body.validation_file, card, chosen.labels, "validation_file")
    _check_freeze(chosen.freeze or [], card, has_new_output=chosen.labels is not None)
    epochs = chosen.n_epochs or auto_epochs(training.dataset.samples)
    _check_size([training] if validation is None else [training, validation], epochs, card, settings)
    mode = chosen.learning_mode or "stl"
    multiplier = chosen.learning_rate_multiplier or LEARNING_RATE_MULTIPLIER[mode]
    return JobSpec(
        id=identity,
        name=_name(base.name, body.suffix),
        model=base.name,
        version=base.number,
        training_file=_data_file(training),
        validation_file=None if validation is None else _data_file(validation),
        labels=None if chosen.labels is None else tuple(chosen.labels),
        mode=mode,
        n_epochs=epochs,
        batch_size=chosen.batch_size or auto_batch_size(training.dataset.samples),
        learning_rate=base_learning_rate(card) * multiplier,
        learning_rate_multiplier=multiplier,
        **_threshold_learning(chosen, card, mode),
        freeze=tuple(chosen.freeze or ()),
        seed=body.seed or 0,
        promote=body.promote or "never",
        priority=body.priority or 0,
        suffix=body.suffix,
        metadata=body.metadata or {},
        request_sha256=request_hash(requested),
        requested=requested,
    )


def _threshold_learning(chosen: Hyperparameters, card: Card, mode: Mode) -> dict[str, float | None]:
    """How thresholds learn: as the job says, otherwise as in the model's training.

    `InvalidParameter` for a floor of zero or less where the surrogate gradient divides by thresholds.
    """
    before = {
        # in mode tl, the learning rate is for thresholds already
        "threshold_learning_rate_multiplier": (mode != "tl" and card.learning.threshold_learning_rate_multiplier)
        or 1.0,
        "threshold_weight_decay": card.learning.threshold_weight_decay or 0.0,
        "threshold_floor": card.learning.threshold_floor,
    }
    learning = {name: value if (given := getattr(chosen, name)) is None else given for name, value in before.items()}
    if card.neuron.surrogate.scale != "absolute" and (learning["threshold_floor"] or 0) <= 0:
        raise InvalidParameter(
            f"threshold_floor: the model's surrogate gradient ({card.neuron.surrogate.scale}) needs one above 0",
            param="method.supervised.hyperparameters.threshold_floor",
        )
    return learning


async def _base(registry: Registry, model: str) -> Version:
    """The version that `model` names: `name/version`, or `name` for its default version."""
    try:
        ref = ModelRef.parse(model)
    except ValueError as error:
        raise ModelNotFound(f"there is no model {model[:100]!r}: {error}", param="model") from error
    try:
        found = await registry.find(ref.name, ref.version)
    except (ModelNotFound, VersionNotFound) as error:
        error.param = "model"
        raise
    number = found.default if ref.version is None else ref.version
    if number is None:
        raise InvalidParameter(f"every version of model {ref.name!r} failed to load", param="model")
    return found.versions[number]


def _card(base: Version) -> Card:
    if base.card is None:
        raise InvalidParameter(f"the card of {base.label} cannot be read", param="model")
    return base.card


async def _file(uploads: Uploads, identity: str, card: Card, labels: Sequence[str] | None, param: str) -> Upload:
    try:
        upload = await asyncio.to_thread(uploads.get, identity)
    except ServiceError as error:
        error.param = param
        raise
    if upload.class_count > MAX_LABELS:
        raise InvalidDataset(f"the data set has {upload.class_count} classes; the limit is {MAX_LABELS}", param=param)
    check_fits(upload.dataset, card, labels, param=param)
    return upload


def _check_size(files: Sequence[Upload], epochs: int, card: Card, settings: Settings) -> None:
    """`InvalidParameter` for a job that takes too long, or more memory than it may."""
    samples = sum(file.dataset.samples for file in files)
    if samples * epochs > settings.max_job_samples:
        most = settings.max_job_samples // samples
        advice = f"at most {most} epochs" if most else "a smaller data set"
        message = f"{samples} samples x {epochs} epochs exceed the limit of {settings.max_job_samples}; choose {advice}"
        raise InvalidParameter(message, param=f"{HYPERPARAMETERS}.n_epochs")
    size = samples * math.prod(card.input.shape)
    if card.input.kind == "image" and size > settings.max_job_data_bytes:
        message = f"{samples} images of {'x'.join(map(str, card.input.shape))} take {size} bytes"
        message += f", more than the limit of {settings.max_job_data_bytes}"
        raise InvalidParameter(message, param="training_file")


def _data_file(upload: Upload) -> DataFile:
    return DataFile(id=upload.id, filename=upload.filename, sha256=upload.sha256)


def _check_freeze(freeze: Sequence[str], card: Card, *, has_new_output: bool) -> None:
    """Only layers that learn can be frozen, but not all of them, and not a new output layer."""
    learning = [layer.name for layer in card.spiking_layers]
    param = f"{HYPERPARAMETERS}.freeze"
    for name in freeze:
        if name not in learning:
            raise InvalidParameter(unknown_name(name, learning, "a layer that learns").message, param=param)
    if set(learning) <= set(freeze):
        raise InvalidParameter("all layers are frozen: nothing is left to learn", param=param)
    if has_new_output and learning[-1] in freeze:
        raise InvalidParameter(f"new labels need a new {learning[-1]!r}, which has to learn", param=param)


def _name(model: str, suffix: str | None) -> str:
    if suffix is None:
        return model
    name = f"{model}-{suffix}"
    if not suffix or not _NAME.fullmatch(name):
        raise InvalidParameter(
            f"'{model}-<suffix>' must be a valid name: at most 64 characters of a-z 0-9 . _ -; {name[:200]!r} is not",
            param="suffix",
        )
    return name


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value
