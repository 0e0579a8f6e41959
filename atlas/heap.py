"""How the processor's memory is handed out while pictures are made."""

from __future__ import annotations

import ctypes

# Options of glibc's mallopt, see malloc.h
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
LARGEST = 2**31 - 1
PAD_BYTES = 64 * 2**20


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, instead of giving it back and asking for it again.

    Tensors of a hundred megabytes come and go at every step, and fresh pages must be cleared by
    the kernel first. Returns whether there was a glibc to tell.

    Source: https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another system, another allocator
        return False
    options = ((MMAP_MAX, 0), (TRIM_THRESHOLD, LARGEST), (TOP_PAD, PAD_BYTES))
    taken = [mallopt(option, value) for option, value in options]
    return 0 not in taken
