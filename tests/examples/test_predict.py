import re
import subprocess
import sys

import pytest

from tests.service.process import ROOT, environment

PREDICTED = re.compile(r"(.+): (\w+), (\d+) spikes, (\d+\.\d) nJ \(operations, cmos-45nm\)")


@pytest.mark.parametrize(
    ("model", "file", "options"),
    [("digits-stl", "examples/digit.png", []), ("nmnist-stl", "examples/recording.bin", ["--format", "nmnist"])],
)
def test_files_are_classified_without_a_server(model: str, file: str, options: list[str]) -> None:
    command = [sys.executable, "examples/predict.py", model, file, file, *options]
    bundled = environment(MODEL_STORE="model_store") | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=ROOT, env=bundled, check=True, capture_output=True, text=True, timeout=120)
    first, second = ran.stdout.splitlines()
    assert first == second
    found = PREDICTED.fullmatch(first)
    assert found is not None, first
    assert found[1] == file
    assert found[2] == "0"
    assert int(found[3]) > 0
    assert float(found[4]) > 0
