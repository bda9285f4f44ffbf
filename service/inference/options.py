"""Prediction options, independent of the transport."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contract import events
from contract.card import Card
from contract.decision import DecisionRule
from contract.energy import ESTIMATORS, Profile, work_of
from contract.errors import InvalidParameter
from contract.group import Group
from contract.image_fitting import Background, Invert
from contract.reference import Reference
from contract.settings import Settings
from contract.structure import StructureError
from service.inference.bodies import Detail, Exit
from service.inference.decode import TENSOR, DecodeOptions
from service.inference.fit_options import Fit, FitOptions
from service.inference.joint import JointOptions, joint_options
from service.parsing import unknown_name

DEFAULT_TOP_K = 5


class PredictOptions(BaseModel):
    """The options of a prediction request."""

    model_config = ConfigDict(frozen=True)

    detail: Detail = Field(
        "summary",
        description="Whether to add the spikes of each layer, of each time step, or both and which neurons fired.",
    )
    top_k: int | None = Field(None, ge=1, description="Classes in `top_k`; by default 5, or all if there are fewer.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the inputs that have none of their own.")
    energy_profile: str | None = Field(None, description="Energy profile; by default the service's.")
    energy: str | None = Field(
        None, description=f"Estimators for `energy.estimates`, separated by commas: {', '.join(ESTIMATORS)}; or `all`."
    )
    format: str | None = Field(
        None, description="Format of an event recording; `tensor` for uint8 pixels `[N, C, H, W]` in the model's shape."
    )
    camera: str | None = Field(None, description="Camera of an AEDAT 2 recording.")
    fit: Fit | None = Field(
        None,
        description="Images: `stretch` (default), or keep the aspect ratio: `pad` with borders, `crop` the middle. "
        "Recordings: `scale` to the model's sensor, or `crop` the middle.",
    )
    invert: Invert | None = Field(
        None, description="Images: exchange dark and light; `auto` if what stands out is darker than its surroundings."
    )
    background: Background | None = Field(
        None,
        description="Images: `auto` sets the paper's level to black, in uneven light too, and crops to what is on it "
        "unless `fit` says otherwise; `keep` leaves it.",
    )
    window: str | None = Field(
        None, description="Recordings: the part of the sensor to take, `x,y,width,height` in pixels."
    )
    flip_y: bool = Field(False, description="Recordings: whether rows count from the lower edge.")
    order: Literal["sort"] | None = Field(None, description="Recordings: `sort` events by their times.")
    exit: Exit = Field(
        "none",
        description="Whether an inference ends as soon as its decision cannot change (`lossless`), or as soon as it is "
        "as sure as the model's calibration asks (`confident`).",
    )
    draws: int = Field(1, ge=1, description="Poisson draws of each input, whose decisions are joined.")
    decision: DecisionRule | None = Field(None, description="How they are joined; by default `mean`.")


@dataclass(frozen=True, slots=True)
class ResolvedOptions:
    """The options of one request, validated against one model, with the service's defaults and limits.

    `model` is the model's name in the store; its card may have another name.
    """

    model: str
    card: Card
    detail: Detail
    top_k: int
    exit: Exit
    joint: JointOptions | None
    profile: Profile
    estimators: tuple[str, ...]
    decoding: DecodeOptions
    reference: Reference | None = None

    @property
    def rows(self) -> int:
        """How many samples each input is run as."""
        return 1 if self.joint is None else self.joint.draws


def resolve(
    options: PredictOptions,
    model: str,
    card: Card,
    settings: Settings,
    profiles: Mapping[str, Profile],
    group: Group | None = None,
    reference: Reference | None = None,
) -> ResolvedOptions:
    """The options for one model, which may be a group.

    `InvalidParameter` for an unknown profile or format, for a `top_k` above the model's number of classes, for draws
    that the model or the service does not allow, and for draws that would end early.
    """
    profile = settings.energy_profile if options.energy_profile is None else options.energy_profile
    _check_known(profile, profiles, "an energy profile", "energy_profile")
    if options.format is not None:
        bare = (TENSOR,) if card.input.kind == "image" else ()
        _check_known(options.format, (*events.FORMATS, *bare), "an event format", "format")
    joint = joint_options(options.draws, options.decision, model, card, group, settings)
    if joint is not None and options.exit != "none":
        message = "exit is for a single decision: one that ends early may still change the joint one"
        raise InvalidParameter(message, param="exit")
    if options.detail == "raster" and options.draws > 1:
        raise InvalidParameter("a raster shows a single draw; leave out draws", param="detail")
    if group is not None and options.energy is not None:
        raise InvalidParameter("a group has no other estimates; ask for those of its members", param="energy")
    fits = FitOptions(
        options.fit, options.invert, options.background, options.window, options.flip_y, options.order == "sort"
    )
    image_fitting = fits.of_images(card.input)
    if options.format == TENSOR and not image_fitting.is_plain:
        raise InvalidParameter(
            "format=tensor takes pixels as they are, without fit, invert or background", param="format"
        )
    return ResolvedOptions(
        model=model,
        card=card,
        detail=options.detail,
        top_k=_top_k(options.top_k, model, card),
        exit=options.exit,
        joint=joint,
        profile=profiles[profile],
        estimators=_estimators(options.energy, card),
        decoding=DecodeOptions(
            model=model,
            input=card.input,
            encoder=card.encoder,
            seed=options.seed,
            format=options.format,
            camera=options.camera,
            max_image_pixels=settings.max_image_pixels,
            max_events=settings.max_events,
            max_inputs=settings.max_inputs // options.draws,
            fitting=fits.of_recordings(card.input),
            image_fitting=image_fitting,
            reduced_above=settings.max_image_pixels,
        ),
        reference=reference,
    )


def _check_known(name: str, known: Iterable[str], what: str, param: str) -> None:
    if name not in known:
        error = unknown_name(name, known, what)
        error.param = param
        raise error


def _estimators(names: str | None, card: Card) -> tuple[str, ...]:
    if names is None:
        return ()
    try:
        work_of(card, [0.0] * len(card.synaptic_layers), [0.0] * len(card.spiking_layers))
    except StructureError as error:
        raise InvalidParameter(f"the model's card does not allow other estimates: {error}", param="energy") from error
    if names == "all":
        return ESTIMATORS
    chosen = names.split(",")
    for name in chosen:
        _check_known(name, (*ESTIMATORS, "all"), "an energy estimator", "energy")
    return tuple(name for name in ESTIMATORS if name in chosen or "all" in chosen)


def _top_k(top_k: int | None, model: str, card: Card) -> int:
    classes = len(card.labels)
    if top_k is None:
        return min(DEFAULT_TOP_K, classes)
    if top_k > classes:
        raise InvalidParameter(f"top_k is {top_k}, but model {model!r} has {classes} classes", param="top_k")
    return top_k
