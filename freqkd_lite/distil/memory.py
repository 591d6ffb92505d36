"""Keep freed memory: on Linux the system clears the memory of each new large tensor, unless the
process reuses its own."""

import ctypes
import os

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # names of glibc's malloc.h


def keep() -> bool:
    """Let this process keep freed memory for its next tensors; False where that is impossible.

    glibc maps each allocation above 32 MB by itself and gives it back when it is freed. The user's
    own settings (MALLOC_... in the environment) are respected.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return False
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, 2**31 - 1))
