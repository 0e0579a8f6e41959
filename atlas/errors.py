"""Errors that a user can fix. Each message is one line: the cause, then the remedy.

Library code raises these and never exits; only the command turns them into exit code 2.
"""


class AtlasError(Exception):
    """Base of every error whose message is meant for the user."""


class SpecError(AtlasError):
    """What was asked for cannot be done: an unknown layer, a unit out of range, a bad option."""


class NetworkError(AtlasError):
    """The network or its weights cannot be loaded or give numbers that are not finite."""


class DeviceError(AtlasError):
    """The device that was asked for is missing or has too little memory."""


class CacheError(AtlasError):
    """The cache cannot be opened, read or written."""


class SiteError(AtlasError):
    """The site cannot be written."""
