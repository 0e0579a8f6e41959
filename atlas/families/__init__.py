"""All families of networks, each in its own file or folder."""

from __future__ import annotations

from collections.abc import Sequence

from atlas.families import custom, demo, timm, torchvision
from atlas.families.family import Family, Finder

FAMILIES = (demo.FAMILY,)  # known by heart
FINDERS = (timm.FINDER, custom.FINDER, torchvision.FINDER)  # the first that owns a name finds it
DEFAULT_NAME = torchvision.DEFAULT_NAME


def listed_family(name: str, families: Sequence[Family] = FAMILIES) -> Family | None:
    """The family called `name`, if it is one of `families`; nothing is imported for it."""
    return next((family for family in families if family.name == name), None)


def finder_of(name: str) -> Finder:
    """The finder of a network that is not listed; an empty name stands for the default."""
    return next(finder for finder in FINDERS if finder.owns(name or DEFAULT_NAME))


def find_family(name: str, families: Sequence[Family] = FAMILIES) -> Family:
    """The family called `name`; an empty name stands for the default.

    What is not listed in `families` is found by importing the library or the file that has it,
    which takes seconds.

    Raises:
        SpecError: there is no such network.
        NetworkError: it is no convolutional network, or its code fails.
    """
    name = name or DEFAULT_NAME
    return listed_family(name, families) or finder_of(name).find(name)
