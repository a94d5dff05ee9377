"""Memory allocator settings of a process that predicts."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_MAX_FREE_BYTES = 256 << 20
_MAX_BLOCK_BYTES = 32 << 20  # the maximum that glibc accepts


def keep_freed_memory() -> None:
    """Keep up to 256 MB of memory that a prediction frees for the next one.

    Each prediction needs the same tens of megabytes. glibc returns them to the system after each and requests them
    again, page by page, which can take a third of a prediction's time. Other C libraries are not changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc: macOS, musl, Windows
        return
    mallopt(_MMAP_THRESHOLD, _MAX_BLOCK_BYTES)
    mallopt(_TRIM_THRESHOLD, _MAX_FREE_BYTES)
