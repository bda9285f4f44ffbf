"""The variants of the service that the overhead benchmark compares give the service's answers."""

import os
from pathlib import Path

import httpx
import pytest

from benchmarks.load import ROOT, service


@pytest.mark.parametrize("module", ["service", "benchmarks.indirect"])
def test_each_variant_answers(module: str, tiny_store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PYTHONPATH", str(ROOT))
    settings = {"SNN_MODEL_STORE": str(tiny_store_root), "SNN_THREADS": "1", "SNN_PRELOAD": "tiny-image"}
    image = (ROOT / "examples" / "digit.png").read_bytes()
    with service(settings, module=module) as address:
        url = f"{address}/v1/models/tiny-image/predict?top_k=3"
        answer = httpx.post(url, content=image, headers={"Content-Type": "image/png"}, timeout=60)
    assert answer.status_code == 200, answer.text
    [prediction] = answer.json()["predictions"]
    assert len(prediction["top_k"]) == 3
