"""The kinds of artifacts and the families of networks that an atlas can be made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from atlas.families import FAMILIES
from atlas.families.family import Family
from atlas.kinds import KINDS
from atlas.kinds.kind import Kind


@dataclass(frozen=True)
class Catalogue:
    """Kinds and families; add your own to those that come with the project."""

    kinds: tuple[Kind[Any], ...] = KINDS  # in the order of making, sources first
    families: tuple[Family, ...] = FAMILIES  # the first is the default


CATALOGUE = Catalogue()
