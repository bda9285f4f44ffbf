"""The settings of service and worker: environment variables with the prefix `SNN_`, read once at start."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import (
    Field,
    FilePath,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from contract.energy import ProfileSetting, profiles_with
from contract.names import check_preload

PREFIX = "SNN_"

HEADINGS = {
    "host": "Address",
    "model_store": "Model store",
    "device": "Device",
    "max_batch_size": "Batching",
    "max_queue_size": "Limits",
    "max_live_streams": "Live streams",
    "request_timeout_ms": "Time",
    "data_dir": "Fine-tuning jobs",
    "energy_profile": "Energy",
    "api_keys": "API keys",
    "log_level": "Logs",
}


class Settings(BaseSettings):
    """Every setting, with its default. The environment variable is `SNN_` and the field's name in capitals.

    Fields stand in the order in which users read them; `HEADINGS` names the first one of each group.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True)

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 is every IPv4 interface.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    grpc_port: int | None = Field(
        None, ge=0, le=65535, description="Port of the Open Inference Protocol over gRPC (extra grpc); off if unset."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names that requests may name, separated by commas; '*' is any. Unset, a service on loopback "
        "without API keys allows localhost, loopback addresses and SNN_HOST, and any other service every name.",
    )
    console: Literal["on", "off"] = Field("on", description="Whether / is a page that shows the service at work.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins of other sites whose pages may call the API, separated by commas, such as "
        "https://lab.example.org.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes that serve on the port; each keeps its part of the machine's bounds.",
    )
    max_connections: PositiveInt = Field(
        4096,
        description="Maximum number of open connections, of which one client address gets three quarters; the next "
        "one gets 503. Lower where the process may have fewer files open.",
    )

    model_store: Annotated[tuple[Path, ...], NoDecode] = Field(
        (Path("models"), Path("model_store")),
        min_length=1,
        description="Folders of models (NAME/VERSION/model.pt), separated by ':'. The first one is also written to; "
        "the others are only read.",
    )
    preload: Annotated[tuple[str, ...], NoDecode] = Field(
        ("*",),
        description="Models to load at start, separated by commas: 'name' (its default version) or 'name/version'. "
        "'*' loads the default version of every model; an empty value loads each model on first use.",
    )
    poll_seconds: PositiveFloat = Field(1.0, description="Seconds between scans of the model store.")
    max_loaded_versions: PositiveInt = Field(
        8,
        description="Maximum number of versions in memory besides the default versions and those of SNN_PRELOAD; the "
        "least recently used one makes room for the next.",
    )

    device: str = Field("auto", description="'auto' (CUDA if available, else the CPU), 'cpu', 'cuda' or 'cuda:N'.")
    threads: Literal["auto"] | PositiveInt = Field(
        "auto",
        description="CPU threads for one operation of a network. 'auto' is the cores of the process or its container "
        "minus one, from 1 to 8.",
    )
    backend: Literal["local", "torchserve"] = Field(
        "local", description="Where networks run: 'local' (in this process) or 'torchserve'."
    )
    engine: Literal["auto", "event", "torchscript"] = Field(
        "auto",
        description="What runs networks on the CPU of this process: 'auto' (the event engine where it is exact, else "
        "TorchScript), 'event' (a version that it cannot run fails to load) or 'torchscript'.",
    )
    torchserve_url: str = Field("http://127.0.0.1:8080", description="Inference address of TorchServe.")
    torchserve_token_file: Path | None = Field(
        None,
        description="TorchServe's key_file.json, or a file with its inference token; unset sends no token.",
    )
    torchserve_timeout_ms: PositiveInt = Field(30_000, description="Timeout for one TorchServe batch.")

    max_batch_size: PositiveInt = Field(32, description="Maximum number of inputs in a batch.")
    max_batch_wait_ms: NonNegativeFloat = Field(0.0, description="Milliseconds to wait for a batch to fill.")
    max_batch_cost: PositiveInt = Field(
        50_000_000, description="Maximum number of values in a batch: inputs x T x C x H x W."
    )

    max_queue_size: PositiveInt = Field(256, description="Maximum number of waiting requests; the next one gets 429.")
    max_queue_bytes: PositiveInt = Field(
        256 * 1024 * 1024,
        description="Maximum size of all request bodies and waiting inputs together; beyond it requests get 429.",
    )
    max_queue_seconds: PositiveFloat = Field(
        0.5,
        description="Maximum time that the waiting requests are expected to take; beyond it the next one gets 429.",
    )
    min_body_bytes_per_second: PositiveInt = Field(
        8192,
        description="Minimum speed of a client that sends a body or reads an answer; it may pause for 10 seconds.",
    )
    max_inputs: PositiveInt = Field(256, description="Maximum number of inputs in a request.")
    max_draws: PositiveInt = Field(32, description="Maximum number of Poisson draws of an input.")
    max_raster_values: PositiveInt = Field(
        2_000_000, description="Maximum neurons x time steps x inputs of an answer with detail=raster."
    )
    max_answer_bytes: PositiveInt = Field(
        32 * 1024 * 1024,
        description="Maximum size of an answer; it grows with inputs, top_k and detail.",
    )
    max_body_bytes: PositiveInt = Field(32 * 1024 * 1024, description="Maximum size of a request body.")
    max_upload_bytes: PositiveInt = Field(1024 * 1024 * 1024, description="Maximum size of an uploaded data set.")
    max_stored_bytes: PositiveInt = Field(
        16 * 1024 * 1024 * 1024, description="Maximum size of all uploads together; beyond it the response is 507."
    )
    max_image_pixels: PositiveInt = Field(
        4096 * 4096, description="Maximum size of an image before resizing, width x height."
    )
    max_events: PositiveInt = Field(5_000_000, description="Maximum number of events in a recording.")

    decode_processes: PositiveInt = Field(
        2,
        description="Processes that decode inputs, all but the smallest; a request that runs out of time has its "
        "process killed. All but one of them may decode large inputs at the same time.",
    )
    decode_memory_bytes: PositiveInt = Field(
        512 * 1024 * 1024,
        description="Memory that decoding a large input may take; beyond it the response is 413. A small input may "
        "take 128 MiB.",
    )
    upload_check_seconds: PositiveFloat = Field(
        120.0, description="Maximum time that the check of an upload takes; beyond it the response is 413."
    )
    upload_check_memory_bytes: PositiveInt = Field(
        320 * 1024 * 1024, description="Memory that the check of an upload may take; beyond it the response is 413."
    )

    max_live_streams: PositiveInt = Field(
        128, description="Maximum number of open streams of live events; the next one gets 429."
    )
    max_live_streams_per_key: PositiveInt = Field(
        64,
        description="Maximum number of open streams of one API key, or of one client address where the API is open; "
        "the next one gets 429.",
    )
    live_events_per_s: PositiveInt = Field(
        5_000_000, description="Maximum number of events that a stream may send in a second; beyond it, it ends."
    )
    live_buffer_bytes: int = Field(
        2 * 1024 * 1024,
        ge=1024,
        description="Maximum size of a stream's events that wait for their time step, 32 bytes each; beyond it the "
        "stream ends.",
    )
    live_frame_bytes: int = Field(
        1024 * 1024,
        ge=1024,
        description="Maximum size of a WebSocket message; beyond it the stream ends. Text has 64 KiB at most.",
    )
    live_idle_seconds: PositiveFloat = Field(60.0, description="Seconds without a message after which a stream ends.")
    live_seconds: PositiveFloat = Field(86_400.0, description="Seconds after which a stream ends in any case.")
    live_send_seconds: PositiveFloat = Field(
        10.0, description="Seconds that a client may take to make room for a decision; then its stream ends."
    )

    request_timeout_ms: PositiveInt = Field(30_000, description="Timeout of a request without X-Request-Timeout-Ms.")
    max_request_timeout_ms: PositiveInt = Field(
        300_000, description="Upper limit for X-Request-Timeout-Ms; larger values are lowered to it."
    )
    ready_seconds: PositiveFloat = Field(
        5.0,
        description="/health/ready is 503 if the device completes nothing, not even a blank input, for this many "
        "seconds.",
    )
    drain_seconds: NonNegativeFloat = Field(
        1.0, description="Seconds from SIGTERM, when /health/ready turns 503, until the port closes."
    )
    shutdown_grace_seconds: PositiveFloat = Field(
        25.0, description="Seconds from SIGTERM until unfinished requests are answered with 503."
    )

    data_dir: Path = Field(Path("data"), description="Folder of uploads, fine-tuning jobs and their database.")
    file_retention_days: PositiveFloat | None = Field(
        None,
        description="Days after which an upload is removed, unless a queued or running job uses it; unset keeps all "
        "uploads.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="Jobs database, as postgresql://user:password@host/name; unset uses SQLite in the data folder.",
    )
    database_password_file: FilePath | None = Field(
        None, description="File with the password, if SNN_DATABASE_URL leaves it out."
    )
    max_queued_jobs: PositiveInt = Field(1000, description="Maximum number of queued jobs; the next one gets 429.")
    max_jobs: PositiveInt = Field(
        10_000, description="Maximum number of jobs that are kept, ended ones included; the next one gets 507."
    )
    max_job_samples: PositiveInt = Field(
        100_000_000, description="Maximum number of samples that a job goes through: its data sets' samples x n_epochs."
    )
    max_job_data_bytes: PositiveInt = Field(
        1024**3, description="Maximum size of a job's images in the size of its model; training takes twice this."
    )
    max_job_priority: int = Field(100, ge=-100, le=100, description="Highest priority that a job may ask for.")
    max_job_hours: PositiveFloat = Field(
        24.0, description="Hours that a job may train before it fails; resumed, it may train as long again."
    )
    job_retention_days: PositiveFloat | None = Field(
        None, description="Days after which ended jobs are deleted, with their events; unset keeps them."
    )
    max_event_streams: PositiveInt = Field(
        256,
        description="Maximum number of open streams of events, of which one client address gets half; the next one "
        "gets 429.",
    )
    training_threads: Literal["auto"] | PositiveInt = Field(
        "auto",
        description="CPU threads for a fine-tuning job. 'auto' is half the cores of the process or its container, "
        "from 1 to 8.",
    )
    worker_id: str | None = Field(
        None,
        min_length=1,
        description="Name by which a restarted fine-tuning worker finds its jobs; unset uses host and device.",
    )
    jobs_launcher: Literal["process", "ray"] = Field(
        "process",
        description="Where a worker starts the process of a job: 'process' (beside itself) or 'ray' (on a node of a "
        "Ray cluster that has the device).",
    )
    worker_stall_seconds: float = Field(
        120.0,
        ge=15,
        description="Seconds without a sign of life after which a training process is killed and started again.",
    )
    worker_grace_seconds: PositiveFloat = Field(
        20.0, description="Seconds that a training process gets to stop before it is killed."
    )

    energy_profile: str = Field("cmos-45nm", description="Energy profile of a request that names none.")
    energy_profiles: dict[str, ProfileSetting] = Field(
        {},
        description="Additional energy profiles, as JSON: "
        '{"name": {"ac_pj": 0.9, "mac_pj": 4.6, "source": "datasheet"}}; ann_mac_pj is optional.',
    )

    api_keys: SecretStr | None = Field(
        None, description="API keys, separated by commas; without keys the API is open to all."
    )
    api_keys_file: FilePath | None = Field(None, description="File of API keys, one per line, added to SNN_API_KEYS.")

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum log level.")
    log_format: Literal["text", "json"] = Field("text", description="Lines of text, or one JSON object a line.")

    @field_validator("model_store", mode="before")
    @classmethod
    def _split_folders(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(filter(None, value.split(os.pathsep)))
        return (value,) if isinstance(value, Path) else value

    @field_validator("preload", "allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"https?://[^\s/?#@*]+", origin):
                raise ValueError(f"{origin!r} is not an origin; write the scheme and the host, as in https://host:8443")
        return tuple(map(str.lower, origins))

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, value: str) -> str:
        kind, _, index = value.partition(":")
        if value not in ("auto", "cpu", "cuda") and not (kind == "cuda" and index.isdecimal()):
            raise ValueError("must be 'auto', 'cpu', 'cuda' or 'cuda:N'")
        return value

    @field_validator("torchserve_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/?#]+/?", value):
            raise ValueError("must be like http://127.0.0.1:8080, without a path")
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.match(r"(sqlite:/|postgresql:)//.", value.get_secret_value()):
            raise ValueError("must be postgresql://user:password@host/name or sqlite:///file")
        return value

    @field_validator("preload")
    @classmethod
    def _can_be_preloaded(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_preload(value)
        return value

    @model_validator(mode="after")
    def _profile_exists(self) -> Self:
        profiles = profiles_with(self.energy_profiles)
        if self.energy_profile not in profiles:
            raise ValueError(f"SNN_ENERGY_PROFILE is {self.energy_profile!r}, not one of {', '.join(profiles)}")
        return self

    @model_validator(mode="after")
    def _default_timeout_is_allowed(self) -> Self:
        if self.request_timeout_ms > self.max_request_timeout_ms:
            raise ValueError(
                f"SNN_REQUEST_TIMEOUT_MS ({self.request_timeout_ms}) must not exceed "
                f"SNN_MAX_REQUEST_TIMEOUT_MS ({self.max_request_timeout_ms})"
            )
        return self

    @model_validator(mode="after")
    def _drain_ends_before_the_grace(self) -> Self:
        if self.drain_seconds >= self.shutdown_grace_seconds:
            raise ValueError(
                f"SNN_DRAIN_SECONDS ({self.drain_seconds:g}) must be less than "
                f"SNN_SHUTDOWN_GRACE_SECONDS ({self.shutdown_grace_seconds:g})"
            )
        return self

    @model_validator(mode="after")
    def _password_has_a_place(self) -> Self:
        url = self.database_url.get_secret_value() if self.database_url is not None else ""
        if self.database_password_file is not None and not re.fullmatch(r"[^:/@]+://[^:/@]+@.+", url):
            raise ValueError(
                "SNN_DATABASE_PASSWORD_FILE needs an SNN_DATABASE_URL like postgresql://user@host/name, "
                "without a password"
            )
        return self

    @model_validator(mode="after")
    def _keys_can_be_sent(self) -> Self:
        for number, key in enumerate(self.keys(), start=1):
            if not key.isascii() or not key.isprintable() or " " in key:
                raise ValueError(f"API key number {number} must be printable ASCII without spaces")
        if (self.api_keys is not None or self.api_keys_file is not None) and not self.keys():
            raise ValueError(
                "SNN_API_KEYS or SNN_API_KEYS_FILE is set but holds no key; unset it to leave the API open"
            )
        return self

    def keys(self) -> tuple[str, ...]:
        """The API keys of both settings, in plain text; empty when the API is open."""
        found = self.api_keys.get_secret_value().split(",") if self.api_keys is not None else []
        if self.api_keys_file is not None:
            found += self.api_keys_file.read_text("utf-8").splitlines()
        return tuple(filter(None, map(str.strip, found)))

    @property
    def jobs_database(self) -> str:
        """The URL of the jobs database, a password included: not for logs."""
        if self.database_url is not None:
            url = self.database_url.get_secret_value()
            if self.database_password_file is None:
                return url
            password = self.database_password_file.read_text("utf-8").rstrip("\n")
            return url.replace("@", f":{quote(password, safe='')}@", 1)
        return f"sqlite:///{self.data_dir.absolute() / 'jobs.sqlite'}"

    def hosts(self) -> tuple[str, ...]:
        """The hosts that requests may name, in lower case; '*' is any."""
        if not self.allowed_hosts and (self.keys() or not self.is_loopback):
            return ("*",)
        return ("localhost", self.host.lower(), *map(str.lower, self.allowed_hosts))

    @property
    def is_loopback(self) -> bool:
        """Whether only this computer can reach the address."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"


class InvalidSettings(Exception):
    """The environment holds unusable settings; `problems` has one line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load() -> Settings:
    """Read the settings from the environment; `InvalidSettings` lists everything that is wrong with them."""
    problems = list(unknown_names())
    try:
        settings = Settings()
    except ValidationError as error:
        problems += [_problem(each["loc"], each["msg"]) for each in error.errors(include_input=False)]
    except SettingsError as error:
        problems += [str(error)]
    if problems:
        raise InvalidSettings(problems)
    return settings


def _problem(location: tuple[int | str, ...], message: str) -> str:
    name = f"{PREFIX}{str(location[0]).upper()}: " if location else ""
    inside = "".join(f"{part}: " for part in location[1:])
    return f"{name}{inside}{message.removeprefix('Value error, ')}"


def unknown_names(environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Report each `SNN_` variable that is not a setting, with the closest setting."""
    known = [PREFIX + field.upper() for field in Settings.model_fields]
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            yield f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")
