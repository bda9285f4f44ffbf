"""What the client of a live stream may ask for, and its check against the service's limits."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.energy import Profile
from contract.errors import InvalidParameter
from contract.events.chunks import ChunkDecoder
from contract.events.geometry import Geometry, Window
from contract.events.live import live_decoder
from contract.settings import Settings
from service.inference.bodies import Exit
from service.parsing import unknown_name
from service.streams.event_steps import EVENT_BYTES, StepLimits
from service.streams.running_votes import Policy
from service.streams.sessions import SessionOptions

Format = Literal["events13", "events8", "evt2", "evt21", "evt21-legacy", "evt3", "json"]

MOST_REORDER_US = 10_000_000


class StreamOptions(BaseModel):
    """The options of a live stream."""

    model_config = ConfigDict(frozen=True)

    format: Format = Field("events13", description="Format of the binary messages; `json` for text messages alone.")
    decision: Policy = Field(
        "running",
        description="What a decision weighs: all steps alike (`running`), the model's last T steps (`window`), or all "
        "with weights that fall by 1/T a step (`leaky`).",
    )
    exit: Exit = Field(
        "none",
        description="Whether the network decides on the model's T steps at a time, and leaves the rest of them out as "
        "soon as its decision cannot change (`lossless`), or as soon as it is as sure as the model's calibration asks "
        "(`confident`).",
    )
    scores: bool = Field(False, description="Whether a decision has the score of every class.")
    reorder_us: int = Field(
        0, ge=0, le=MOST_REORDER_US, description="How many µs earlier than the latest event an event may be."
    )
    max_events_per_s: int | None = Field(
        None, ge=1, description="Of each step the first events are kept, as many as this rate allows for its length."
    )
    crop: str | None = Field(
        None, description="Window of the sensor to keep, `x,y,width,height` in pixels; events outside are left out."
    )
    downsample: int = Field(1, ge=1, le=1024, description="Side of the squares of pixels that are joined into one.")
    flip_y: bool = Field(False, description="Whether rows count from the lower edge.")
    energy_profile: str | None = Field(None, description="Energy profile; by default the service's.")

    def decoder(self) -> ChunkDecoder | None:
        """The decoder of the stream's binary messages, None if it has only text."""
        return None if self.format == "json" else live_decoder(self.format)

    def session_options(self, settings: Settings, profiles: Mapping[str, Profile]) -> SessionOptions:
        """The options of the stream's session; `InvalidParameter` for a value that is unknown or does not fit."""
        if self.exit != "none" and self.decision != "running":
            message = "exit needs decision=running: it ends a decision on the steps since the network was at rest"
            raise InvalidParameter(message, param="exit")
        profile = settings.energy_profile if self.energy_profile is None else self.energy_profile
        if profile not in profiles:
            error = unknown_name(profile, profiles, "an energy profile")
            raise InvalidParameter(error.message, param="energy_profile")
        crop = None if self.crop is None else Window.parse(self.crop, "crop")
        rate = float("inf") if self.max_events_per_s is None else self.max_events_per_s
        return SessionOptions(
            profile=profiles[profile],
            policy=self.decision,
            exit=self.exit,
            geometry=Geometry(crop=crop, downsample=self.downsample, flip_y=self.flip_y),
            limits=StepLimits(
                reorder_us=self.reorder_us,
                max_events_per_s=rate,
                max_buffered_events=settings.live_buffer_bytes // EVENT_BYTES,
            ),
        )
