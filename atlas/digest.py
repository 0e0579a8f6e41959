"""Digests of files, without torch."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from atlas.errors import NetworkError
from atlas.files import open_regular

MAX_WEIGHTS_BYTES = 32_000_000_000  # a digest of more would take minutes


def file_sha256(path: Path) -> str:
    """The SHA-256 digest of a weights file, as `sha256sum` prints it.

    Raises:
        NetworkError: the file cannot be read, is no regular file, or is far too large.
    """
    try:
        with open_regular(path, MAX_WEIGHTS_BYTES) as file:
            status = os.fstat(file.fileno())
        version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        return _sha256_of(path.absolute(), version)
    except OSError as error:
        raise NetworkError.unreadable(path, error) from error


@functools.lru_cache  # weights are identified before they are loaded and again when they are
def _sha256_of(path: Path, _version: tuple[int, ...]) -> str:
    """The digest of a file, which is read once for each version of it.

    A version is told by device, inode, size in bytes, and time of the last change.
    """
    with open_regular(path, MAX_WEIGHTS_BYTES) as file:
        return stream_sha256(file)


def stream_sha256(file: BinaryIO) -> str:
    """The SHA-256 digest of an open file, from its current position on.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
