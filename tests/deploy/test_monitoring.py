"""What watches the service: checked by promtool, and run by a real Prometheus beside the real service."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.containers import ROOT, Stack, command, free_port, until

pytestmark = pytest.mark.deploy

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "stl-snn.json").read_text())
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]


def promtool(*arguments: str) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: Debian's package `prometheus` has it")
    return command(["promtool", *arguments])


@pytest.fixture(scope="module")
def prometheus(stack: Stack, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prometheus with the shipped files, in the network of the services; it only looks more often."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed: Debian's package `prometheus` has it")
    folder = tmp_path_factory.mktemp("prometheus") / "etc"
    folder.mkdir(mode=0o755)  # the container's user reads it
    for file in PROMETHEUS.iterdir():
        (folder / file.name).write_text(file.read_text().replace("15s", "1s"))
    name, port = f"{stack.project}-prometheus", free_port()
    mounts = {
        binary: "/usr/local/bin/prometheus",
        str(folder): "/etc/prometheus",
        str(ROOT / "deploy" / "secrets" / "none"): "/run/secrets/metrics_key",
    }
    stack.tool.run(
        *("run", "--detach", "--name", name, "--network", f"{stack.project}_default"),
        *("--publish", f"127.0.0.1:{port}:9090", "--entrypoint", "prometheus"),
        *(part for source, target in mounts.items() for part in ("--volume", f"{source}:{target}:ro")),
        image,
        *("--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/tmp/prometheus"),
    )
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(url), lambda: stack.tool.run("logs", name))
        yield url
    finally:
        stack.tool.run("rm", "--force", "--volumes", name)


@pytest.fixture(scope="module")
def used(stack: Stack, prometheus: str) -> None:
    """Both shipped kinds of input were predicted, and a request was dropped, while Prometheus was looking."""
    until(lambda: query(prometheus, 'up{job="snn"} == 1'))
    for _ in range(2):
        stack.predict_image().raise_for_status()
        stack.predict_recording().raise_for_status()
        assert stack.predict_image("mnist-stl", headers={"X-Request-Timeout-Ms": "1"}).status_code in (408, 504)
        time.sleep(2)  # a rate is one between two looks
    until(lambda: query(prometheus, "sum(rate(snn_predictions_total[1m])) > 0"))
    until(lambda: query(prometheus, "sum(rate(snn_dropped_total[1m])) >= 0"))


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def query(url: str, expression: str) -> list[Any]:
    """The result of an expression now; fails for one that Prometheus does not take."""
    answer = httpx.get(f"{url}/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", answer
    result: list[Any] = answer["data"]["result"]
    return result


def metric_names(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:snn_\w+|up)\b", expression.replace('job="snn"', "")))


def test_promtool_takes_the_rules() -> None:
    assert "SUCCESS: 9 rules found" in promtool("check", "rules", str(PROMETHEUS / "alerts.yml"))


def test_promtool_takes_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    (tmp_path / "alerts.yml").write_text((PROMETHEUS / "alerts.yml").read_text())
    file = tmp_path / "prometheus.yml"
    file.write_text((PROMETHEUS / "prometheus.yml").read_text().replace("/run/secrets/metrics_key", "key"))
    assert "is valid prometheus config file syntax" in promtool("check", "config", str(file))


def test_alerts_fire_when_something_is_wrong_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(ROOT / "tests" / "deploy" / "alerts.yml"))


def test_prometheus_reaches_the_service_by_its_name(prometheus: str, used: None) -> None:
    targets = httpx.get(f"{prometheus}/api/v1/targets").json()["data"]["activeTargets"]
    assert [(one["labels"]["job"], one["labels"]["instance"], one["health"]) for one in targets] == [
        ("snn", "api:8000", "up")
    ]


def test_every_alert_is_evaluated_over_metrics_that_exist(prometheus: str, used: None) -> None:
    def rules() -> list[Any]:
        groups = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    until(lambda: all(rule["health"] != "unknown" for rule in rules()))
    assert {rule["name"]: rule["health"] for rule in rules()} == {rule["name"]: "ok" for rule in rules()}
    assert len(rules()) == 9
    known = httpx.get(f"{prometheus}/api/v1/label/__name__/values").json()["data"]
    for rule in rules():
        assert metric_names(rule["query"]) <= set(known), rule["name"]


@pytest.mark.parametrize("expression", QUERIES)
def test_every_panel_of_the_dashboard_shows_something(prometheus: str, used: None, expression: str) -> None:
    found = query(prometheus, expression.replace("$__rate_interval", "5m"))
    assert found, expression


def test_the_dashboards_panels_use_the_provisioned_source_and_do_not_overlap() -> None:
    source = (ROOT / "deploy" / "grafana" / "datasources" / "prometheus.yml").read_text()
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        for part in (panel, *panel["targets"]):
            assert f"uid: {part['datasource']['uid']}\n" in source
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_a_service_that_is_gone_raises_an_alert(stack: Stack, prometheus: str) -> None:
    stack.compose("stop", "api")
    until(lambda: query(prometheus, 'ALERTS{alertname="SnnDown", alertstate="pending"}'))
    stack.up()
    until(lambda: not query(prometheus, 'ALERTS{alertname="SnnDown"}'))
