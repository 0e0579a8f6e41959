"""Imports functions that are named by text, when they are first needed."""

from __future__ import annotations

import functools
import importlib
from typing import Any


@functools.cache
def load(reference: str) -> Any:
    """The object that `package.module:name` names.

    Raises:
        ImportError, AttributeError: there is no such module, or no such name in it.
    """
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
