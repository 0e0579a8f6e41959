"""Errors that a user can fix. Each message is one line: the cause, then the remedy.

Library code raises these and never exits; only the command turns them into exit code 2.
"""

from __future__ import annotations

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
        return cls(
            f"cannot read the weights {path}: {error.strerror}; check the path after --weights"
        )

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
