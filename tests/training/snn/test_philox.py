import pytest
import torch

from training.snn.philox import philox

# Known answers published with Random123 (kat_vectors, philox4x32 with 10 rounds): counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_the_published_answers_come_out(
    counter: tuple[int, ...], key: tuple[int, ...], answer: tuple[int, ...]
) -> None:
    assert tuple(philox(torch.tensor(counter), torch.tensor(key)).tolist()) == answer


def test_counters_and_keys_broadcast() -> None:
    counters = torch.stack([torch.arange(5), *(torch.zeros(5, dtype=torch.int64),) * 3])
    keys = torch.tensor([[[7], [8]], [[0], [1]]])
    drawn = philox(counters.unsqueeze(1), keys)
    assert drawn.shape == (4, 2, 5)
    assert drawn[:, 1, 3].tolist() == philox(torch.tensor([3, 0, 0, 0]), torch.tensor([8, 1])).tolist()
