"""Errors that a user can fix. Each message is one line: the cause, then the remedy.

Library code raises these and never exits; only the command turns them into exit code 2.
"""

from __future__ import annotations

import errno
from pathlib import Path


class AtlasError(Exception):
    """Base of every error whose message is meant for the user."""


class SpecError(AtlasError):
    """What was asked for cannot be done: an unknown layer, a unit out of range, a bad option."""


class NetworkError(AtlasError):
    """The network or its weights cannot be loaded or give numbers that are not finite."""

    @classmethod
    def unreadable(cls, path: Path, error: OSError) -> NetworkError:
        """A weights file that cannot be opened or read."""
        return cls(f"cannot read the weights {path}: {error.strerror}; check the path")

    @classmethod
    def not_finite(cls, layer: str) -> NetworkError:
        """A layer whose output has infinite values or NaN."""
        return cls(f"{layer} gives values that are not finite; check the weights")


class DeviceError(AtlasError):
    """The device that was asked for is missing or has too little memory."""


class ImagesError(AtlasError):
    """Photographs cannot be read now, or none of them can be used."""

    @classmethod
    def none_of_them(cls, skipped_words: str) -> ImagesError:
        """Every photograph was skipped."""
        return cls(f"no photograph can be used: {skipped_words}; give others with --images")


class CacheError(AtlasError):
    """The cache cannot be opened, read or written."""


class SiteError(AtlasError):
    """The site cannot be written."""


class DamagedError(CacheError):
    """An artifact in the cache is not what was stored; a build makes it again."""


def remedy_for(error: OSError, option: str) -> str:
    """What to do about a folder or file that cannot be used, whose option is such as `--out`."""
    known = {
        errno.ENOSPC: "free some space",
        errno.EDQUOT: "your quota is used up: free some space",
        errno.EROFS: "it is on a read-only file system",
        errno.EMFILE: "close other programs or raise the limit, such as with `ulimit -n 4096`",
        errno.ENFILE: "close other programs or raise the system's limit",
        errno.EIO: "its disk or file system has failed: look at the system's log",
        errno.ENAMETOOLONG: "its path is too long",
        errno.ELOOP: "it is a link where a file or folder of its own is wanted: remove the link",
        errno.EFBIG: "files of this size are not allowed there: raise the limit",
    }
    if error.errno in known:
        return f"{known[error.errno]}, or give another folder with {option}; what is done is kept"
    return f"give a folder that can be written with {option}"
