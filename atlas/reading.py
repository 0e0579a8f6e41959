"""Reading files of photographs, which may fail for reasons that pass by themselves."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from atlas.digest import stream_sha256
from atlas.errors import ImagesError
from atlas.text import displayable, displayable_name

PAUSES_S = (0.1, 0.5, 1.5)  # before each further try
AGAIN = "then run the same command again; what is done is kept"
REMEDIES = {
    errno.ENOENT: "put it back, or take it out of the folder for good",
    errno.EACCES: "make it readable, or move it out of the folder",
    errno.EPERM: "make it readable, or move it out of the folder",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "allow more open files, or close other programs",
    errno.ENOMEM: "free some memory",
}
Result = TypeVar("Result")


def patiently(read: Callable[[], Result], path: Path) -> Result:
    """The result of `read`, which is tried again after short pauses where it cannot read.

    Raises:
        ImagesError: it could not read at any try.
    """
    for pause_s in PAUSES_S:
        try:
            return read()
        except OSError:
            time.sleep(pause_s)
    try:
        return read()
    except OSError as error:
        cause = displayable(error.strerror or str(error))
        remedy = REMEDIES.get(error.errno or 0, "check the disk or the network")
        raise ImagesError(
            f"cannot read {displayable_name(str(path))} now: {cause}; {remedy}, {AGAIN}"
        ) from error


def contents(path: Path) -> bytes:
    """All bytes of a regular file.

    They are read at once, so that what fails later is the fault of the bytes and not of the disk.

    Raises:
        OSError: it cannot be read now.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        return file.read()


def content_sha256(path: Path) -> str:
    """The digest of a file's bytes.

    Raises:
        OSError: it cannot be read now.
    """
    with path.open("rb") as file:
        return stream_sha256(file)
