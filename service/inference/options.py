"""What a caller asks of a prediction besides its inputs, and the answer to it, whatever server it came through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from contract import events
from contract.card import Card
from contract.energy import Profile
from contract.errors import InvalidParameter
from contract.settings import Settings
from service.inference.bodies import Detail, Prediction
from service.inference.decode import Decoded, DecodeOptions
from service.inference.pending import Result
from service.inference.prediction import build_prediction
from service.parsing import unknown_name

DEFAULT_TOP_K = 5


class PredictOptions(BaseModel):
    """What a caller may ask for besides the bare answer."""

    model_config = ConfigDict(frozen=True)

    detail: Detail = Field("summary", description="What else is told: of each layer, or of each time step.")
    top_k: int | None = Field(None, ge=1, description="Classes in `top_k`; by default 5, or all where there are fewer.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the inputs that carry none.")
    energy_profile: str | None = Field(None, description="Energy profile; by default the service's.")
    format: str | None = Field(None, description="Format of an event recording.")
    camera: str | None = Field(None, description="Camera of an AEDAT 2 recording.")


@dataclass(frozen=True, slots=True)
class ResolvedOptions:
    """The same, checked against one model: how its inputs are read and how its predictions are told."""

    options: DecodeOptions
    detail: Detail
    top_k: int
    profile: Profile


def resolve(asked: PredictOptions, card: Card, settings: Settings, profiles: Mapping[str, Profile]) -> ResolvedOptions:
    """`InvalidParameter` for a profile or a format that is not known, and for more classes than the model has."""
    profile = settings.energy_profile if asked.energy_profile is None else asked.energy_profile
    _check_known(profile, profiles, "an energy profile", "energy_profile")
    if asked.format is not None:
        _check_known(asked.format, events.FORMATS, "an event format", "format")
    options = DecodeOptions(
        max_image_pixels=settings.max_image_pixels,
        max_events=settings.max_events,
        seed=asked.seed,
        format=asked.format,
        camera=asked.camera,
    )
    return ResolvedOptions(options, asked.detail, _top_k(asked.top_k, card), profiles[profile])


def predictions(decoded: Sequence[Decoded], ran: Result, card: Card, wanted: ResolvedOptions) -> list[Prediction]:
    """The prediction of each input, in order."""
    return [
        build_prediction(
            index,
            activity,
            card,
            each.preprocessing,
            detail=wanted.detail,
            top_k=wanted.top_k,
            profile=wanted.profile,
            measured_mj=measured,
        )
        for index, (each, activity, measured) in enumerate(zip(decoded, ran.activities, ran.measured_mj, strict=True))
    ]


def _check_known(name: str, known: Mapping[str, object] | Sequence[str], what: str, param: str) -> None:
    if name not in known:
        error = unknown_name(name, known, what)
        error.param = param
        raise error


def _top_k(wanted: int | None, card: Card) -> int:
    classes = len(card.labels)
    if wanted is None:
        return min(DEFAULT_TOP_K, classes)
    if wanted > classes:
        raise InvalidParameter(f"top_k is {wanted}, and the model has {classes} classes", param="top_k")
    return wanted
