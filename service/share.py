"""The share of one of several processes on one machine: what it may hold, so that all together keep the settings."""

from contract.cores import available_cores, choose_threads
from contract.settings import Settings

DIVIDED = (
    "max_connections",
    "max_queue_size",
    "max_queue_bytes",
    "decode_processes",
    "max_live_streams",
    "max_live_streams_per_key",
    "max_event_streams",
)
"""The settings that bound what the machine holds; each process keeps its part of them by itself."""


def share_of(settings: Settings) -> Settings:
    """The settings of one of `settings.workers` processes: its part of the cores, and of the bounds at least 1."""
    workers = settings.workers
    if workers == 1:
        return settings
    parts: dict[str, int] = {name: max(1, getattr(settings, name) // workers) for name in DIVIDED}
    if settings.threads == "auto":
        parts["threads"] = choose_threads(available_cores() / workers)
    return settings.model_copy(update=parts)
