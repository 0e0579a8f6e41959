"""Whether data from a file has the types that a dataclass declares."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Any, Literal, Union, cast, get_args, get_origin


def fits(value: Any, declared: Any) -> bool:
    """Whether a value, with everything in it, is of a declared type.

    Args:
        value: dataclasses, tuples and plain data.
        declared: a dataclass, a plain type, a union, a literal, or a tuple of these.
    """
    if isinstance(declared, type) and dataclasses.is_dataclass(declared):
        hints = _hints(cast(Any, declared))
        return isinstance(value, declared) and all(
            fits(getattr(value, name), hint) for name, hint in hints.items()
        )
    origin, parts = get_origin(declared), get_args(declared)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if origin is tuple:
        return isinstance(value, tuple) and _items_fit(value, parts)
    if declared is float:  # a whole number in JSON may be a float
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is declared


def _items_fit(value: tuple[Any, ...], parts: tuple[Any, ...]) -> bool:
    if len(parts) == 2 and parts[1] is Ellipsis:
        return all(fits(item, parts[0]) for item in value)
    return len(value) == len(parts) and all(map(fits, value, parts))


@functools.cache
def _hints(declared: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(declared)
    return {field.name: hints[field.name] for field in dataclasses.fields(declared)}
