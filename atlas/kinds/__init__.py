"""All kinds of artifacts, each in a folder with what it is, how it is made and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atlas.errors import SpecError
from atlas.kinds import (
    border,
    circuit,
    dream,
    examples,
    excitatory,
    field,
    filter,
    inhibitory,
    map,
    names,
    natural,
    noise,
    photographs,
    similar,
    tuning,
    twin,
)
from atlas.kinds.kind import Kind

# In the order of making: cheap kinds and the main pictures come first, and every kind comes after
# those that it is made from.
KINDS: tuple[Kind[Any], ...] = (
    filter.KIND,
    circuit.KIND,
    noise.KIND,
    border.KIND,
    tuning.KIND,
    natural.KIND,
    photographs.KIND,
    examples.KIND,
    names.KIND,
    dream.KIND,
    excitatory.KIND,
    field.KIND,
    twin.KIND,
    inhibitory.KIND,
    similar.KIND,
    map.KIND,
)


def find_kinds(names: Sequence[str], kinds: Sequence[Kind[Any]] = KINDS) -> tuple[Kind[Any], ...]:
    """The kinds with these names, in the order of making; all kinds if no names are given.

    Raises:
        SpecError: no kind has one of the names.
    """
    known = [kind.name for kind in kinds]
    for name in names:
        if name not in known:
            raise SpecError(f"no kind {name!r}; there are {', '.join(known)}")
    return tuple(kind for kind in kinds if not names or kind.name in names)
