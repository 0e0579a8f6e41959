"""Digests of files, without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from atlas.errors import NetworkError


def file_sha256(path: Path) -> str:
    """The SHA-256 digest of a weights file, as `sha256sum` prints it.

    Raises:
        NetworkError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return stream_sha256(file)
    except OSError as error:
        raise NetworkError.unreadable(path, error) from error


def stream_sha256(file: BinaryIO) -> str:
    """The SHA-256 digest of an open file, from its current position on.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
