"""The package stands alone."""

import subprocess
import sys

CODE = """
import sys
import stl_snn_client
client = stl_snn_client.Client()
call = stl_snn_client.pixels([[1]])
heavy = {"torch", "numpy", "pydantic", "service", "contract", "training", "event_engine"}
print(*sorted(heavy & sys.modules.keys()))
"""


def test_neither_torch_nor_numpy_nor_the_service_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
