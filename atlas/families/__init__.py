"""All families of networks, each in its own file or folder."""

from __future__ import annotations

from collections.abc import Sequence

from atlas.errors import SpecError
from atlas.families import demo, resnet50
from atlas.families.family import Family

FAMILIES = (resnet50.FAMILY, demo.FAMILY)


def find_family(name: str, families: Sequence[Family] = FAMILIES) -> Family:
    """The family called `name`; an empty name stands for the first.

    Raises:
        SpecError: there is no such family.
    """
    if not name:
        return families[0]
    for family in families:
        if family.name == name:
            return family
    known = " or ".join(family.name for family in families)
    raise SpecError(f"no network called {name!r}; give {known}")
