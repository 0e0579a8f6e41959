"""Memory: settings of the C library's allocator, and of Python's own."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import sys
from collections.abc import Iterator

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # options of glibc's mallopt, see malloc.h
LARGEST = 2**31 - 1  # the largest value of an option
PAD_BYTES = 64 * 2**20  # requested from the kernel in addition, whenever memory runs short


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for reuse, instead of returning it to the kernel.

    Every step allocates and frees tensors of a hundred megabytes, and the kernel would have to
    clear the pages of each new one. Returns whether all options were set; False without glibc.

    Source: https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # the system has no glibc
        return False
    options = ((MMAP_MAX, 0), (TRIM_THRESHOLD, LARGEST), (TOP_PAD, PAD_BYTES))
    results = [mallopt(option, value) for option, value in options]  # 0 is an error
    return 0 not in results


def return_freed_memory() -> None:
    """Make glibc return freed memory to the kernel now, in the heaps of all threads.

    Source: https://man7.org/linux/man-pages/man3/malloc_trim.3.html
    """
    with contextlib.suppress(OSError, AttributeError):  # the system has no glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """For millions of objects without cycles: to look for some takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def import_torch() -> None:
    """Import PyTorch; among its hundreds of thousands of objects no garbage is looked for.

    Otherwise the search takes a seventh of the time of a short build.
    """
    if "torch" in sys.modules:
        return
    with no_garbage_collection():
        importlib.import_module("torch")
    gc.freeze()
