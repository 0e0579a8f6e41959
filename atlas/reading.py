"""Reading files of photographs, which may fail for reasons that pass by themselves."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, TypeVar

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
SHORTER = "it is shorter than it was"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Stored:
    """Where an image's bytes are: a part of a file, such as a tar archive."""

    path: Path
    name: str  # what it is called there
    first: int
    n_bytes: int

    @property
    def suffix(self) -> str:
        """The suffix of its name, in lower case."""
        return PurePath(self.name).suffix.lower()

    def contents(self) -> bytes:
        """All its bytes.

        Raises:
            OSError: they cannot be read now.
        """
        with _opened(self.path) as file:
            file.seek(self.first)
            data = file.read(self.n_bytes)
        if len(data) < self.n_bytes:
            raise OSError(errno.EIO, SHORTER, str(self.path))
        return data

    def sha256(self) -> str:
        """The digest of its bytes.

        Raises:
            OSError: they cannot be read now.
        """
        digest, n_left = hashlib.sha256(), self.n_bytes
        with _opened(self.path) as file:
            file.seek(self.first)
            while chunk := file.read(min(n_left, 1 << 20)):
                digest.update(chunk)
                n_left -= len(chunk)
        if n_left:
            raise OSError(errno.EIO, SHORTER, str(self.path))
        return digest.hexdigest()


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
    with _opened(path) as file:
        return file.read()


def content_sha256(path: Path) -> str:
    """The digest of a file's bytes.

    Raises:
        OSError: it cannot be read now.
    """
    with path.open("rb") as file:
        return stream_sha256(file)


def _opened(path: Path) -> BinaryIO:
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return file
