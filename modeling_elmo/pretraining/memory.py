"""Memory that training on a CPU frees and takes again at every step."""

import ctypes
import sys

# Names of glibc's options (malloc.h), and the largest value that they take.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Lets this process keep what a step frees for the next step, where its C library is glibc.

    By default large tensors are given back to the system at once, and the system clears every page of those that are
    taken anew: a tenth of a step on virtual machines (docs/performance.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        # One arena: those of other threads are too small for large tensors.
        for option, value in ((M_MMAP_THRESHOLD, LARGEST), (M_TRIM_THRESHOLD, LARGEST), (M_ARENA_MAX, 1)):
            mallopt(option, value)
