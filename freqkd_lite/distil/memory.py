"""Large tensors are made again and again; on Linux the system clears their memory each time anew,
unless the process keeps what it has once had."""

import ctypes
import os

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # names of glibc's malloc.h


def keep() -> bool:
    """Let this process keep freed memory for its next tensors; False where it can't be told to.

    glibc maps each allocation above 32 MB by itself and gives it back when it is freed. Settings of
    one's own (MALLOC_... in the environment) are left as they are.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return False
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, 2**31 - 1))
