"""Memory allocator settings of a process that decodes one image after another."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_MAX_BLOCK_BYTES = 32 << 20  # the maximum that glibc accepts


def keep_freed_memory(max_mb: int = 256) -> None:
    """Keep memory that is freed after one image for the next one.

    Each image needs the same tens of megabytes. glibc returns them to the system after each and requests them again,
    page by page, which can take a third of the time. Other C libraries are not changed.

    Args:
        max_mb: Maximum megabytes (2**20 bytes) that are kept.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc: macOS, musl, Windows
        return
    mallopt(_MMAP_THRESHOLD, _MAX_BLOCK_BYTES)
    mallopt(_TRIM_THRESHOLD, max_mb << 20)
