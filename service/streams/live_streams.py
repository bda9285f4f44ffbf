"""`LiveStreams`: all open streams of live events, and the places for them."""

import logging
from collections import Counter
from functools import partial
from typing import Protocol

from contract.energy import Profile
from contract.errors import InvalidParameter, Overloaded, ShuttingDown
from contract.settings import Settings
from service.inference.step_batcher import StepBatcher
from service.models.version import Loaded
from service.streams.answers import Ready
from service.streams.live_stream import LiveLimits, LiveStream
from service.streams.options import StreamOptions
from service.streams.sessions import Decision, Session, SessionOptions
from service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


class Models(Protocol):
    """Where streams find their models: a `Registry`, or a single version."""

    async def get(self, name: str, number: int | None, *, timeout: float | None) -> Loaded:
        """A loaded version and its engine, the default version for `number` None."""


class LiveStreams:
    """Opens streams, at most `SNN_MAX_LIVE_STREAMS` and `SNN_MAX_LIVE_STREAMS_PER_KEY`, and stops them all."""

    def __init__(
        self,
        models: Models,
        steps: StepBatcher,
        settings: Settings,
        profiles: dict[str, Profile],
        metrics: Metrics | None = None,
    ) -> None:
        self._models = models
        self._steps = steps
        self._settings = settings
        self._profiles = profiles
        self._metrics = metrics
        self._limits = LiveLimits(
            events_per_s=settings.live_events_per_s,
            idle_seconds=settings.live_idle_seconds,
            seconds=settings.live_seconds,
            send_seconds=settings.live_send_seconds,
        )
        self._places: Counter[str] = Counter()
        self._open: set[LiveStream] = set()
        self._is_stopping = False

    def __len__(self) -> int:
        return len(self._open)

    async def open(
        self, name: str, options: StreamOptions, *, version: int | None = None, caller: str = ""
    ) -> LiveStream:
        """A stream to a model's version, by default the default one, for `caller`: a key or a client's address.

        Raises `Overloaded` if there is no place, `ShuttingDown` after `stop`, what the registry raises for the version,
        and `WrongInputKind` or `InvalidParameter` for what does not fit the model.
        """
        if self._is_stopping:
            raise ShuttingDown("the service is shutting down")
        self._check_room(caller)
        session_options = options.session_options(self._settings, self._profiles)
        self._places[caller] += 1
        try:
            loaded = await self._models.get(name, version, timeout=self._settings.request_timeout_ms / 1000)
            stream = self._made(loaded, name, session_options, options, caller)
        except BaseException:
            self._leave(caller)
            raise
        self._open.add(stream)
        if self._is_stopping:
            stream.stop()
        return stream

    def stop(self) -> None:
        """Open no more streams, and make the open ones end soon."""
        self._is_stopping = True
        for stream in list(self._open):
            stream.stop()

    def _made(
        self, loaded: Loaded, name: str, session_options: SessionOptions, options: StreamOptions, caller: str
    ) -> LiveStream:
        if loaded.engine.choice.name == "torchserve":
            raise InvalidParameter("live streams need SNN_BACKEND=local: TorchServe keeps no state", param="name")
        if loaded.version.group is not None:
            raise InvalidParameter("a group takes whole samples; stream to one of its members", param="name")
        session = Session(loaded, name, self._steps, session_options)
        ready: Ready = {
            "type": "ready",
            "model": name,
            "version": loaded.version.number,
            "step_us": session.step_us,
            "timesteps": loaded.engine.card.timesteps,
        }
        return LiveStream(
            session,
            options.decoder(),
            ready,
            self._limits,
            scores=options.scores,
            on_decision=partial(self._count, name, session_options.profile.name),
            on_end=partial(self._ended, caller),
        )

    def _check_room(self, caller: str) -> None:
        settings = self._settings
        if self._places.total() >= settings.max_live_streams:
            raise Overloaded(f"{settings.max_live_streams} streams are already open; try again later")
        if self._places[caller] >= settings.max_live_streams_per_key:
            raise Overloaded(
                f"{settings.max_live_streams_per_key} streams of this client are already open; try again later"
            )

    def _leave(self, caller: str) -> None:
        self._places[caller] -= 1
        if not self._places[caller]:
            del self._places[caller]

    def _ended(self, caller: str, stream: LiveStream) -> None:
        self._open.discard(stream)
        self._leave(caller)

    def _count(self, name: str, profile: str, decision: Decision) -> None:
        if self._metrics is not None:
            self._metrics.stream_step(
                name,
                spikes=decision.spikes,
                accumulates=decision.accumulates,
                multiply_accumulates=decision.multiply_accumulates,
                estimate_nj=decision.estimate_nj,
                profile=profile,
                events=decision.events,
                late=decision.late,
                dropped=decision.dropped,
            )
