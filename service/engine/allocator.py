"""Settings of the C library's memory allocator."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from <malloc.h>
_LARGEST_BLOCK = 32 * 2**20
_MOST_KEPT = 64 * 2**20


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MiB that one batch frees for the next one; no effect with other C libraries.

    By default glibc returns the memory of large tensors to the system after each operation and requests it again,
    cleared page by page. That takes a fifth of the time of a small network at batch 32.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)
