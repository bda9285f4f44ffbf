from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.settings import HEADINGS, Settings, unknown_names
from contract.settings_help import describe, described


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"SNN_{field.upper()}", raising=False)


def test_the_service_is_local_and_open_by_default() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.keys()) == ("127.0.0.1", 8000, ())
    assert settings.is_loopback
    assert (settings.max_inputs, settings.max_queue_size, settings.max_batch_size) == (256, 256, 32)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_PORT", "9000")
    monkeypatch.setenv("SNN_PRELOAD", "digits-stl, digits-stl/2")
    monkeypatch.setenv("SNN_LOG_LEVEL", "WARNING")
    monkeypatch.setenv("SNN_ENERGY_PROFILES", '{"mine": {"ac_pj": 1, "mac_pj": 2, "source": "measured"}}')
    monkeypatch.setenv("SNN_ENERGY_PROFILE", "mine")
    settings = Settings()
    assert settings.port == 9000
    assert settings.preload == ("digits-stl", "digits-stl/2")
    assert settings.log_level == "warning"
    assert settings.energy_profiles["mine"].mac_pj == 2


@pytest.mark.parametrize(
    ("value", "folders"),
    [
        (None, ["models", "model_store"]),
        ("/models", ["/models"]),
        ("mine:/srv/shipped:other", ["mine", "/srv/shipped", "other"]),
        (":mine::", ["mine"]),
    ],
)
def test_the_model_store_is_a_list_of_folders(
    monkeypatch: pytest.MonkeyPatch, value: str | None, folders: list[str]
) -> None:
    if value is not None:
        monkeypatch.setenv("SNN_MODEL_STORE", value)
    assert Settings().model_store == tuple(map(Path, folders))


def test_code_may_give_the_model_store_as_one_path(tmp_path: Path) -> None:
    assert Settings(model_store=tmp_path).model_store == (tmp_path,)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SNN_MODEL_STORE", ":", "at least 1 item"),
        ("SNN_PORT", "70000", "65535"),
        ("SNN_MAX_BATCH_SIZE", "0", "greater than 0"),
        ("SNN_DATABASE_URL", "sqlite://", "sqlite:///file"),
        ("SNN_DATABASE_URL", "mysql://host/jobs", "postgresql://"),
        ("SNN_DEVICE", "tpu", "'auto', 'cpu', 'cuda' or 'cuda:N'"),
        ("SNN_PRELOAD", "Digits", "cannot preload 'Digits'"),
        ("SNN_ENERGY_PROFILE", "cmos-45", "not one of cmos-45nm"),
        ("SNN_REQUEST_TIMEOUT_MS", "400000", "must not exceed"),
        ("SNN_API_KEYS", " , ", "holds no key"),
        ("SNN_API_KEYS", "two words", "printable ASCII without spaces"),
        ("SNN_API_KEYS_FILE", "/nowhere/keys", "file"),
        ("SNN_DATABASE_PASSWORD_FILE", __file__, "without a password"),
    ],
)
def test_an_invalid_value_is_rejected(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=says):
        Settings()


def test_the_databases_password_can_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p@ss/w:rd %\n")
    monkeypatch.setenv("SNN_DATABASE_URL", "postgresql://snn@db:5432/jobs?application_name=a@b")
    monkeypatch.setenv("SNN_DATABASE_PASSWORD_FILE", str(file))
    settings = Settings()
    assert settings.jobs_database == "postgresql://snn:p%40ss%2Fw%3Ard%20%25@db:5432/jobs?application_name=a@b"
    assert "p@ss" not in repr(settings)
    monkeypatch.setenv("SNN_DATABASE_URL", "postgresql://snn:other@db/jobs")
    with pytest.raises(ValidationError, match="without a password"):
        Settings()


def test_keys_come_from_the_variable_and_from_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("third\n\n  fourth \n")
    monkeypatch.setenv("SNN_API_KEYS", "first,second")
    monkeypatch.setenv("SNN_API_KEYS_FILE", str(file))
    assert Settings().keys() == ("first", "second", "third", "fourth")


def test_keys_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_API_KEYS", "s3cret-key")
    assert "s3cret" not in repr(Settings())
    monkeypatch.setenv("SNN_API_KEYS", "s3cret key")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_loopback_addresses_are_recognised(host: str, loopback: bool) -> None:
    assert Settings(host=host).is_loopback is loopback


def test_an_unknown_variable_is_named_with_the_nearest_known_one() -> None:
    environment = {"SNN_PROT": "1", "snn_zzzzzzzzzzzz": "1", "SNN_PORT": "1", "snn_host": "x", "PATH": "x"}
    assert list(unknown_names(environment)) == [
        "SNN_PROT is not a setting; did you mean SNN_PORT?",
        "snn_zzzzzzzzzzzz is not a setting",
    ]


def test_every_setting_stands_once_under_a_heading_in_the_order_of_the_fields() -> None:
    groups = described()
    assert list(groups) == list(HEADINGS.values())
    names = [setting.name for settings in groups.values() for setting in settings]
    assert names == [f"SNN_{field.upper()}" for field in Settings.model_fields]
    assert all(setting.meaning for settings in groups.values() for setting in settings)


def test_defaults_are_shown_as_a_user_would_write_them() -> None:
    defaults = {setting.name: setting.default for settings in described().values() for setting in settings}
    assert defaults["SNN_PRELOAD"] == "*"
    assert defaults["SNN_PORT"] == "8000"
    assert defaults["SNN_ENERGY_PROFILES"] == defaults["SNN_API_KEYS"] == ""


def test_the_help_text_holds_every_heading_name_default_and_meaning() -> None:
    text = describe()
    words = " ".join(text.split())
    for heading, settings in described().items():
        assert f"\n{heading}\n" in text
        for name, default, meaning in settings:
            assert f"{name} [{default}] {meaning}" in words if default else f"{name} {meaning}" in words
    assert max(map(len, text.splitlines())) <= 100


def test_the_port_closes_before_the_grace_is_over() -> None:
    with pytest.raises(ValidationError, match="SNN_DRAIN_SECONDS"):
        Settings(drain_seconds=5, shutdown_grace_seconds=5)
    assert Settings(drain_seconds=0, shutdown_grace_seconds=0.5).drain_seconds == 0


@pytest.mark.parametrize(("value", "threads"), [("auto", "auto"), ("3", 3)])
def test_threads_are_a_number_or_auto(monkeypatch: pytest.MonkeyPatch, value: str, threads: str | int) -> None:
    monkeypatch.setenv("SNN_THREADS", value)
    assert Settings().threads == threads
    for wrong in ("0", "-1", "many"):
        monkeypatch.setenv("SNN_THREADS", wrong)
        with pytest.raises(ValidationError):
            Settings()
