"""The event engine beside TorchScript, on random networks; `make fuzz` goes on with it for minutes."""

import pytest

from event_engine.library import Library, built_libraries
from tests.event_engine.differential import differences, random_case

SEEDS = range(8)
LIBRARIES = built_libraries()

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="the event engine was not built: there is no C++ compiler")


@pytest.mark.parametrize("seed", SEEDS)
def test_every_library_gives_the_numbers_of_torchscript(seed: int) -> None:
    case = random_case(seed)
    for path in LIBRARIES:
        assert list(differences(case, seed, Library(path))) == []
