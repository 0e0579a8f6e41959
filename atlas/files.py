"""Opens files that others made: regular files only, never a pipe, a device or a folder."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path, max_bytes: int) -> BinaryIO:
    """Open a regular file for reading; links are followed.

    What is not a regular file is not even opened: opening a pipe waits for a writer, and a device
    never ends.

    Raises:
        OSError: it is not there, is no regular file, or is larger than `max_bytes`.
    """
    try:
        _refuse_other(path.stat(), max_bytes)
        # Without waiting, in case a pipe has been put in its place since.
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        file = os.fdopen(os.open(path, flags), "rb")
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, "Not a name of a file") from error
    try:
        _refuse_other(os.fstat(file.fileno()), max_bytes)
    except OSError:
        file.close()
        raise
    return file


def is_regular(path: Path) -> bool:
    """Whether there is a regular file, or a link to one; False too if nobody can tell."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder, or a link to one; False too if nobody can tell."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Whether there is something of this name; False too if nobody can tell."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def _refuse_other(found: os.stat_result, max_bytes: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file, but a pipe, a socket or a device")
    if found.st_size > max_bytes:
        raise OSError(errno.EFBIG, f"Larger than {max_bytes / 1e6:,.0f} MB")
