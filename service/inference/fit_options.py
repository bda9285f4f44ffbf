"""The options that fit images and recordings to a model: each for its kind of input."""

from dataclasses import dataclass
from typing import Any, Literal

from contract.card import InputSpec
from contract.errors import InvalidParameter
from contract.events.geometry import Window
from contract.image_fitting import Background, ImageFitting, Invert
from service.inference.fit_recording import Fitting

Fit = Literal["stretch", "pad", "scale", "crop"]

_FITS = {"image": ("stretch", "pad", "crop"), "events": ("scale", "crop")}
_NAMES = {"image": "images", "events": "event recordings"}


@dataclass(frozen=True, slots=True)
class FitOptions:
    """What a caller asked for; None and False where nothing was."""

    fit: Fit | None = None
    invert: Invert | None = None
    background: Background | None = None
    window: str | None = None
    flip_y: bool = False
    sort: bool = False

    def of_recordings(self, spec: InputSpec) -> Fitting:
        """What is done to recordings; `InvalidParameter` for what a model of event recordings does not do."""
        if spec.kind == "image":
            return Fitting()
        _refuse({"invert": self.invert, "background": self.background}, "image", spec)
        window = None if self.window is None else Window.parse(self.window, "window")
        fit: Any = self._fit(spec)
        fitting = Fitting(fit, window, self.flip_y, self.sort)
        fitting.check(spec)
        return fitting

    def of_images(self, spec: InputSpec) -> ImageFitting:
        """What is done to images; `InvalidParameter` for what a model of images does not do."""
        if spec.kind == "events":
            return ImageFitting()
        _refuse({"window": self.window, "flip_y": self.flip_y, "order": self.sort}, "events", spec)
        fit: Any = self._fit(spec)
        return ImageFitting(self.invert, fit, self.background)

    def _fit(self, spec: InputSpec) -> Fit | None:
        known = _FITS[spec.kind]
        if self.fit is not None and self.fit not in known:
            raise InvalidParameter(
                f"fit={self.fit} is not for {_NAMES[spec.kind]}, which this model takes; fit can be {', '.join(known)}",
                param="fit",
            )
        return self.fit


def _refuse(given: dict[str, object], kind: str, spec: InputSpec) -> None:
    for name, value in given.items():
        if value:
            raise InvalidParameter(
                f"{name} is for {_NAMES[kind]}, and this model takes {_NAMES[spec.kind]}", param=name
            )
