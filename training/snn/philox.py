"""Philox 4x32-10: random numbers that depend only on a counter and a key.

A draw does not depend on earlier draws, on its batch, or on the device: the arithmetic uses integers only.
Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

import torch
from torch import Tensor


def philox(counter: Tensor, key: Tensor) -> Tensor:
    """Four random words for each counter and key.

    `counter` int64 `[4, ...]` and `key` int64 `[2, ...]` hold 32-bit words; all dimensions after the first broadcast.
    Returns int64 `[4, ...]`, each uniform in 0 .. 2^32 - 1.
    """
    mask = 0xFFFFFFFF
    pair = [2] + [1] * (counter.dim() - 1)
    factor = torch.tensor([0xD2511F53, 0xCD9E8D57], device=key.device).view(pair)
    weyl = torch.tensor([0x9E3779B9, 0xBB67AE85], device=key.device).view(pair)
    # Words 0 and 2 go through a round together, and so do 1 and 3. Only factors have to be masked to 32 bits: products
    # need all 64 bits, which int64 keeps.
    even, odd = counter[0::2], counter[1::2]
    for _ in range(10):
        product = (even * factor).flip(0)
        even = (odd ^ key).bitwise_xor_(product >> 32).bitwise_and_(mask)
        odd = product
        key = key + weyl
    return torch.stack([even, odd & mask], 1).flatten(0, 1)
