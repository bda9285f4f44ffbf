"""The manifests of deploy/kserve fit the types that KServe and Kubernetes publish with their clients."""

import re
from typing import Any

import kserve.models
import kubernetes.client.models
import pytest

from tests.open_inference.running import ROOT

yaml = pytest.importorskip("yaml")

FOLDER = ROOT / "deploy" / "kserve"
MANIFESTS = {"ServingRuntime": "V1alpha1ServingRuntime", "InferenceService": "V1beta1InferenceService"}
PLAIN = {"str": str, "bool": bool, "int": int, "datetime": str}


class Misfit(Exception):
    """The manifest has a field that the type does not have, or a value of another type."""


def check(value: Any, kind: str, where: str) -> None:
    if container := re.fullmatch(r"(?i)(list|dict)[\[(](?:str, )?(.+)[\])]", kind):
        if not isinstance(value, {"list": list, "dict": dict}[container[1].lower()]):
            raise Misfit(f"{where} is not a {container[1]}")
        for key, each in enumerate(value) if isinstance(value, list) else value.items():
            check(each, container[2], f"{where}[{key}]")
    elif kind in PLAIN:
        if type(value) is not PLAIN[kind]:
            raise Misfit(f"{where} is not of type {kind}")
    elif kind not in ("object", "IntOrString", "K8sIoApimachineryPkgUtilIntstrIntOrString"):
        check_object(value, kind, where)


def check_object(value: Any, kind: str, where: str) -> None:
    model = getattr(kserve.models, kind, None) or getattr(kubernetes.client.models, kind)
    names = {published: name for name, published in model.attribute_map.items()}
    if not isinstance(value, dict) or (unknown := value.keys() - names.keys()):
        raise Misfit(f"{where}: not a {kind}, {unknown if isinstance(value, dict) else value}")
    for name, each in value.items():
        check(each, model.openapi_types[names[name]], f"{where}.{name}")
    try:
        model(**{names[name]: each for name, each in value.items()})  # refuses a missing field
    except ValueError as error:
        raise Misfit(f"{where}: {error}") from error


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.name)
def test_kserve_knows_every_field(file: Any) -> None:
    manifest = yaml.safe_load(file.read_text())
    check(manifest, MANIFESTS[manifest["kind"]], manifest["kind"])


def test_a_field_that_kserve_does_not_know_is_found() -> None:
    manifest = yaml.safe_load((FOLDER / "serving-runtime.yaml").read_text())
    manifest["spec"]["containers"][0]["readinessprobe"] = {}
    with pytest.raises(Misfit, match="readinessprobe"):
        check(manifest, "V1alpha1ServingRuntime", "ServingRuntime")
    del manifest["spec"]["containers"]
    with pytest.raises(Misfit, match="containers"):
        check(manifest, "V1alpha1ServingRuntime", "ServingRuntime")


def test_the_service_is_ready_when_its_models_are() -> None:
    [container] = yaml.safe_load((FOLDER / "serving-runtime.yaml").read_text())["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": 8000}
    assert container["ports"][0]["containerPort"] == 8000
