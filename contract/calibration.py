"""The part of the card that says when `exit=confident` may end an inference early."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

Share = Annotated[float, Field(gt=0, lt=1)]
Leads = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
Rule = Literal["gap", "conformal"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GapRule(_Part):
    """Of the calibration samples that end at a step, at most a share `eps` is wrong there or at a later step.

    `leads` are the least leads of the decision, one for each time step (`contract.early_exit`).
    """

    eps: Share
    leads: Leads


class ConformalRule(_Part):
    """Of all samples that come as the calibration samples did, at most a share `alpha` ends early with a wrong class.

    `leads` as in `GapRule`.
    """

    alpha: Share
    leads: Leads


class Calibration(_Part):
    """The least leads that `python -m training calibrate` found, on `samples` samples of the part `measured_on`.

    `rule` is the one that `exit=confident` follows.
    """

    measured_on: Literal["validation", "train"]
    samples: PositiveInt
    rule: Rule
    gap: GapRule
    conformal: ConformalRule

    @property
    def leads(self) -> tuple[int, ...]:
        """The least leads of the rule that is followed."""
        return self.gap.leads if self.rule == "gap" else self.conformal.leads
