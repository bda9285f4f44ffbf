import subprocess
import sys

import pytest

BATCHES = """
import resource
import torch
from service.engine.allocator import keep_freed_memory
keep_freed_memory()
torch.set_num_threads(1)
faults = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
for batch in range(200):
    layers = [torch.ones(2**20) for _ in range(8)]  # 8 x 4 MiB, 8,192 pages in all
    del layers
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[100])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of all C libraries, glibc alone is asked")
def test_what_a_batch_frees_serves_the_next_one_without_page_faults() -> None:
    ran = subprocess.run([sys.executable, "-c", BATCHES], check=True, capture_output=True, text=True)
    assert int(ran.stdout) < 8192, "a hundred batches"
