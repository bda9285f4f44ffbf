import gzip
import tracemalloc

import pytest

from contract.errors import TooLarge
from service.open_inference.unpack import unpack_body


def test_no_more_of_a_compressed_body_is_inflated_than_is_allowed() -> None:
    bomb = memoryview(gzip.compress(b" " * 50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="limit of 100000 bytes"):
            unpack_body({"coding": "gzip", "json_bytes": None, "max_bytes": 100_000}, bomb)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
