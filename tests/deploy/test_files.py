"""The files that the deployment is made of, read as their users' tools read them; no container is needed."""

import re
from pathlib import Path

import pytest

from contract.settings import PREFIX, Settings, load, unknown_names
from tests.deploy.containers import ROOT

EXAMPLE = (ROOT / ".env.example").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
KUBERNETES = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
SET_BY_COMPOSE = {"host", "model_store", "data_dir", "worker_id"}
NEVER_IN_A_FILE_OF_SETTINGS = {"api_keys"}


def offered() -> dict[str, str]:
    """Each variable of `.env.example`; where one is offered twice, the last."""
    return dict(re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def test_every_setting_is_offered_but_those_that_compose_makes() -> None:
    names = {name.removeprefix(PREFIX).lower() for name in offered() if name.startswith(PREFIX)}
    assert names == Settings.model_fields.keys() - SET_BY_COMPOSE - NEVER_IN_A_FILE_OF_SETTINGS


def test_the_example_changes_nothing_as_it_stands() -> None:
    assert [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")] == []


def test_what_the_example_offers_is_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{field.upper()}", raising=False)
    (tmp_path / "secret").write_text("secret")
    for name, value in offered().items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, str(tmp_path / "secret") if value.startswith("/run/secrets/") else value)
    settings = load()
    assert settings.jobs_database == "postgresql://snn:secret@postgres/snn"
    assert settings.keys() == ("secret",)


def test_the_defaults_that_the_example_shows_are_the_defaults() -> None:
    for name, field in Settings.model_fields.items():
        shown = offered().get(f"{PREFIX}{name.upper()}")
        if shown is None or field.default in (None, {}) or name in ("backend", "torchserve_url"):
            continue
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        assert shown == str(default).removesuffix(".0"), name


def test_every_variable_of_the_compose_file_is_in_the_example_with_its_default() -> None:
    for name, default in re.findall(r"\$\{([A-Z_]+):?-([^}]*)\}", COMPOSE):
        assert name in offered(), name
        assert default in (offered()[name], "unknown", "./deploy/secrets/none"), name


def test_containers_are_given_longer_to_leave_than_the_service_takes() -> None:
    stop = {name: int(value.removesuffix("s")) for name, value in offered().items() if name.endswith("_STOP_GRACE")}
    settings = Settings.model_fields
    assert stop["API_STOP_GRACE"] > settings["shutdown_grace_seconds"].default
    assert stop["WORKER_STOP_GRACE"] > settings["worker_grace_seconds"].default + 20


def test_replicas_are_given_longer_to_leave_than_the_service_takes_and_only_real_settings() -> None:
    content = (ROOT / "deploy" / "ray" / "serve.yaml").read_text()
    given = dict(re.findall(r"^ +(\w+): \"?([^\s\"#]+)", content, re.MULTILINE))
    assert int(given["graceful_shutdown_timeout_s"]) > int(given["SNN_SHUTDOWN_GRACE_SECONDS"]) + 9
    assert int(given["health_check_timeout_s"]) > Settings.model_fields["ready_seconds"].default
    assert int(given["max_ongoing_requests"]) > Settings.model_fields["max_queue_size"].default
    assert list(unknown_names(given)) == []


def test_the_image_takes_only_what_is_tracked_for_it() -> None:
    copied = re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$", DOCKERFILE, re.MULTILINE)
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for name in " ".join(copied).split():
        assert name in allowed, name


@pytest.mark.deploy
@pytest.mark.parametrize("file", KUBERNETES, ids=lambda file: file.name)
def test_kubernetes_takes_the_manifests(file: Path) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="the extra `deploy` is not installed")
    yaml = pytest.importorskip("yaml")
    for resource in yaml.safe_load_all(file.read_text()):
        if resource["kind"] == "Kustomization":  # read by kubectl and not by the server
            listed = {*resource["resources"], file.name}
            assert listed == {each.name for each in KUBERNETES}
        else:
            kubernetes.validate(resource, kubernetes.latest_version(), strict=True)


@pytest.mark.deploy
def test_the_validator_refuses_what_kubernetes_does_not_know() -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="the extra `deploy` is not installed")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"container": []}}
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(pod, kubernetes.latest_version(), strict=True)


@pytest.mark.deploy
@pytest.mark.parametrize("file", ["api.yaml", "worker.yaml"])
def test_pods_have_no_more_rights_than_they_need(file: str) -> None:
    yaml = pytest.importorskip("yaml")
    workload = next(yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / file).read_text()))
    spec = workload["spec"]["template"]["spec"]
    assert spec["enableServiceLinks"] is False
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert f"--uid {spec['securityContext']['runAsUser']} " in DOCKERFILE
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
