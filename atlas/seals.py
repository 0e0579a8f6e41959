"""Seals of rows: a digest of every column, so that no change of a stored row goes unnoticed.

A seal is over the row's key as well, so that rows and columns cannot change places. The bytes of
an artifact are not in it but their digest and length are: a list of all rows reads no bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

DIGEST_BYTES = 16


def seal(columns: Sequence[Any]) -> str:
    """The seal of a row's columns: text, whole numbers, floats and the types of all of them."""
    text = ascii(tuple(columns))  # the same in all versions of Python, unlike repr
    return hashlib.blake2b(text.encode("ascii"), digest_size=DIGEST_BYTES).hexdigest()


def sha256_of(data: bytes) -> str:
    """The digest of an artifact's bytes."""
    return hashlib.sha256(data).hexdigest()
