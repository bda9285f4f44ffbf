import re
from pathlib import Path
from typing import Any

import pytest

from tests.training.study.studies import TINY, tiny_study, toml_of
from training.errors import ConfigError
from training.study.plan import Arm, load_study, shipped_studies


def test_a_search_tries_every_combination_of_each_of_its_tables() -> None:
    arm = Arm(name="a", label="A", search=[{"threshold": [1.0, 2.0], "norm": ["none", "step"]}, {"tau": [0.9]}])
    assert arm.points == [
        {"threshold": 1.0, "norm": "none"},
        {"threshold": 1.0, "norm": "step"},
        {"threshold": 2.0, "norm": "none"},
        {"threshold": 2.0, "norm": "step"},
        {"tau": 0.9},
    ]
    assert Arm(name="b", label="B").points == [{}]


def test_settings_come_from_preset_base_arm_search_and_point_in_this_order() -> None:
    study = tiny_study(
        preset="digits-stl",
        base={"epochs": 3, "tau": 0.1, "batch_size": 7},
        search={"seed": 9, "overrides": {"batch_size": 9, "learning_rate": 0.5}},
        arms=[{"name": "a", "label": "A", "overrides": {"tau": 0.2, "mode": "sl"}}],
        baseline="a",
    )
    config = study.config(study.arms[0], {"learning_rate": 0.25}, 1)
    assert (config.network, config.epochs, config.tau, config.mode) == ("16C3-32C3-MP2-FC128-VOTE10", 3, 0.2, "sl")
    assert (config.batch_size, config.learning_rate, config.seed) == (7, 0.25, 1)
    searching = study.config(study.arms[0], {"learning_rate": 0.25}, 9, searching=True)
    assert (searching.batch_size, searching.learning_rate, searching.seed) == (9, 0.25, 9)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"seeds": [0, 9]}, "seed, 9, must not be among the seeds"),
        ({"seeds": [1, 1]}, "two seeds are equal"),
        ({"baseline": "x"}, "there is no arm 'x'"),
        ({"questions": []}, "questions"),
        ({"base": TINY["base"] | {"epoch": 3}}, "arm sl: epoch: "),
        ({"base": TINY["base"] | {"seed": 3}}, "seed cannot be set"),
        ({"base": TINY["base"] | {"network": "4Q3"}}, "arm sl: "),
        ({"base": TINY["base"] | {"validation_fraction": 0.0}}, "needs a validation part"),
        ({"noise": {"levels": {"gauss": [0.1]}}}, "there is no noise 'gauss'"),
        ({"noise": {"levels": {"spikes": [1.1]}}}, "at most 1"),
    ],
)
def test_a_study_that_cannot_run_is_refused_with_the_reason(
    tmp_path: Path, fields: dict[str, Any], problem: str
) -> None:
    file = tmp_path / "study.toml"
    file.write_text(toml_of(TINY | fields))
    with pytest.raises(ConfigError, match=problem):
        load_study(str(file))


def test_every_shipped_study_is_valid() -> None:
    assert {"smoke", "digits", "fashion", "mnist", "nmnist", "depth", "ablation"} <= set(shipped_studies())
    for name in shipped_studies():
        assert load_study(name).name == name


def test_the_documents_show_a_valid_study_and_name_every_shipped_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "study.md").read_text()
    (shown,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "study.toml").write_text(shown)
    assert load_study(str(tmp_path / "study.toml")).name == "my-study"
    for name in shipped_studies():
        assert f"| `{name}` |" in page


def test_an_unknown_study_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"there is no study file nothing\.toml; .*smoke"):
        load_study("nothing.toml")
