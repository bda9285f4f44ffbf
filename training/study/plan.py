"""A study file: questions, arms, the search for each arm's settings, seeds and noise."""

import itertools
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from training.errors import ConfigError
from training.learning.config import TrainingConfig, load_preset
from training.noise.kinds import Noise, parse_noise

Point = dict[str, Any]
"""Values of the fields that a search varies, by name."""

Grid = dict[str, Annotated[list[Any], Field(min_length=1)]]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,39}$")]

_OWN = ("name", "seed")  # set by the study


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Part):
    """One of the trainings to compare: `overrides` of the study's base, and fields to search.

    `search` has lists of values by field, all combinations of which are tried; or several such tables, one after the
    other. `series` joins arms that are drawn as one line against depth; `baseline` replaces the study's for this arm.
    """

    name: Name
    label: str
    series: str | None = None
    baseline: Name | None = None
    overrides: dict[str, Any] = {}
    search: Grid | list[Grid] = {}

    @property
    def points(self) -> list[Point]:
        """Everything that the search tries; a single empty point where there is nothing to search."""
        grids = self.search if isinstance(self.search, list) else [self.search]
        return [
            dict(zip(grid, values, strict=True))
            for grid in grids or [{}]
            for values in itertools.product(*grid.values())
        ]


class Search(_Part):
    """How each arm's settings are chosen: at a seed of its own, on the validation part.

    Settings within `tolerance` standard errors of the best accuracy count as equally good; the one with the fewest
    operations is taken. `overrides` hold during the search alone, such as fewer epochs.
    """

    seed: NonNegativeInt = 1000
    tolerance: NonNegativeFloat = 1.0
    overrides: dict[str, Any] = {}


class NoisePlan(_Part):
    """Noise under which every run is measured: `levels` by kind, each with several `draws`.

    `samples` of the test part are used, each class with its share, or all.
    """

    samples: PositiveInt | None = None
    draws: PositiveInt = 1
    levels: dict[str, list[float]] = {}

    @property
    def noises(self) -> list[Noise]:
        """Each kind, level and draw; `ConfigError` for an unknown kind or a level that does not fit it."""
        return [
            parse_noise(f"{kind}={level}", draw)
            for kind, levels in self.levels.items()
            for level in levels
            for draw in range(self.draws)
        ]


class Study(_Part):
    """The whole file. Its `base` are fields of a training configuration, over those of `preset` if there is one."""

    name: Name
    title: str
    questions: list[str] = Field(min_length=1)
    preset: str | None = None
    base: dict[str, Any] = {}
    seeds: list[NonNegativeInt] = Field(min_length=1)
    arms: list[Arm] = Field(min_length=1)
    baseline: Name | None = None
    search: Search = Search()
    noise: NoisePlan = NoisePlan()

    @model_validator(mode="after")
    def _names_and_seeds_are_consistent(self) -> Self:
        names = [arm.name for arm in self.arms]
        for kind, values in (("arms have the same name", names), ("seeds are equal", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"two {kind}")
        for baseline in [self.baseline, *(arm.baseline for arm in self.arms)]:
            if baseline is not None and baseline not in names:
                raise ValueError(f"baseline: there is no arm {baseline!r}")
        if self.search.seed in self.seeds:
            raise ValueError(f"the search's seed, {self.search.seed}, must not be among the seeds")
        return self

    def config(self, arm: Arm, point: Point, seed: int, *, searching: bool = False) -> TrainingConfig:
        """The configuration of one run, named after the arm; `ConfigError` for fields that do not fit."""
        given = self.base | arm.overrides | (self.search.overrides if searching else {}) | point
        if own := [name for name in _OWN if name in given]:
            raise ConfigError(f"arm {arm.name}: {' and '.join(own)} cannot be set, because the study does")
        fields = (load_preset(self.preset) if self.preset else {}) | given | {"name": arm.name, "seed": seed}
        try:
            config = TrainingConfig(**fields)
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, each['loc'])) + ': ' if each['loc'] else ''}"
                f"{each['msg'].removeprefix('Value error, ')}"
                for each in error.errors()
            ]
            raise ConfigError(f"arm {arm.name}: {'; '.join(problems)}") from error
        if searching and config.validation_fraction == 0:
            raise ConfigError(f"arm {arm.name}: a search needs a validation part; set validation_fraction")
        return config

    def baseline_of(self, arm: Arm) -> str | None:
        """The name of the arm that this one is compared with, if there is one."""
        baseline = arm.baseline or self.baseline
        return None if baseline == arm.name else baseline

    def check(self) -> None:
        """Raise `ConfigError` if any configuration or noise of the study is invalid."""
        _ = self.noise.noises
        for arm in self.arms:
            for point in arm.points:
                self.config(arm, point, self.seeds[0])
                self.config(arm, point, self.search.seed, searching=len(arm.points) > 1)
        if len(datasets := {self.config(arm, arm.points[0], self.seeds[0]).dataset for arm in self.arms}) > 1:
            raise ConfigError(f"all arms must have the same data set, not {' and '.join(sorted(datasets))}")


def shipped_studies() -> list[str]:
    """The names of the studies that come with the package."""
    files = resources.files("training.study.studies").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_study(path_or_name: str) -> Study:
    """Read and check a study file, or a study that comes with the package; `ConfigError` names what is wrong."""
    if path_or_name in shipped_studies():
        text = resources.files("training.study.studies").joinpath(f"{path_or_name}.toml").read_text()
    else:
        try:
            text = Path(path_or_name).read_text()
        except (OSError, UnicodeDecodeError):
            raise ConfigError(
                f"there is no study file {path_or_name}; studies that come with the package are "
                f"{', '.join(shipped_studies())}"
            ) from None
    try:
        study = Study(**tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path_or_name} is not valid TOML: {error}") from error
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise ConfigError(f"{path_or_name}: {'; '.join(problems)}") from error
    study.check()
    return study
