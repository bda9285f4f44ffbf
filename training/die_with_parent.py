"""A child process that does not outlive its parent. Call this first, before torch is imported."""

import ctypes
import os
import signal
import sys

from contract.job_spec import PARENT_VARIABLE

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent ends; exit now if that has already happened.

    `parent` is the parent's process id. Without it, the parent is the process that `PARENT_VARIABLE` names, or else the
    current one. On systems other than Linux, this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = parent or int(os.environ.get(PARENT_VARIABLE) or os.getppid())
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        raise SystemExit(128 + signal.SIGKILL)
