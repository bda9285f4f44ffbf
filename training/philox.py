"""Philox 4x32-10: random numbers that are a function of a counter and a key, and of nothing else.

A draw does not depend on what was drawn before it, on the batch it is in, or on the device: the arithmetic is on
integers only. Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

import torch
from torch import Tensor


def philox(counter: Tensor, key: Tensor) -> Tensor:
    """Four random words for each counter and key.

    `counter` int64 `[4, ...]` and `key` int64 `[2, ...]` hold 32-bit words and broadcast against each other behind the
    first dimension. Returns int64 `[4, ...]`, each uniform in 0 .. 2^32 - 1.
    """
    mask = 0xFFFFFFFF
    word0, word1, word2, word3 = counter[0], counter[1], counter[2], counter[3]
    key0, key1 = key[0], key[1]
    for _ in range(10):
        # The products need 64 bits: int64 wraps, and shift and mask give back the unsigned halves.
        product0 = word0 * 0xD2511F53
        product1 = word2 * 0xCD9E8D57
        word0 = ((product1 >> 32) & mask) ^ word1 ^ key0
        word1 = product1 & mask
        word2 = ((product0 >> 32) & mask) ^ word3 ^ key1
        word3 = product0 & mask
        key0 = (key0 + 0x9E3779B9) & mask
        key1 = (key1 + 0xBB67AE85) & mask
    return torch.stack(torch.broadcast_tensors(word0, word1, word2, word3))
