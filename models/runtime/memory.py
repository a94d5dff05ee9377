"""What a process does with the memory that a prediction has used. Runs inside an archive."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_KEPT_BYTES = 256 << 20
_LARGEST_BLOCK_BYTES = 32 << 20  # the most that glibc takes


def keep_freed_memory() -> None:
    """Keep memory that a prediction frees for the next one, up to 256 MB.

    Each prediction needs the same tens of megabytes. glibc gives them back to the system after each and asks for them
    again, page by page, which can take a third of a prediction's time. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc: macOS, musl, Windows
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES)
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
