"""What an atlas can consist of: the kinds of artifacts and the families of networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from atlas.asked import AtlasSpec
from atlas.errors import SpecError
from atlas.families import FAMILIES
from atlas.families.family import Family
from atlas.kinds import KINDS
from atlas.kinds.kind import Kind

# Sources may depend on whether there are photographs.
WITH_AND_WITHOUT_IMAGES = (AtlasSpec(), AtlasSpec(images_sha256="any"))


@dataclass(frozen=True)
class Catalogue:
    """Kinds and families; add your own to those that come with the project.

    Raises:
        SpecError: two of them have the same name, or a kind comes before one that it is made from.
    """

    kinds: tuple[Kind[Any], ...] = KINDS  # in the order of making, sources first
    families: tuple[Family, ...] = FAMILIES  # beside those that are found by name

    def __post_init__(self) -> None:
        _check_unique("kind", (kind.name for kind in self.kinds))
        _check_unique("kind of sheet", (kind.sheet.stem for kind in self.kinds if kind.sheet))
        _check_unique("family", (family.name for family in self.families))
        _check_unique("option", (family.flag for family in self.families if family.flag))
        earlier: set[str] = set()
        for kind in self.kinds:
            for asked in WITH_AND_WITHOUT_IMAGES:
                for source in kind.sources_of(asked):
                    if source.kind not in earlier:
                        raise SpecError(
                            f"the kind {kind.name!r} is made from {source.kind!r}, which does not "
                            "come before it; put it into the catalogue before it"
                        )
            earlier.add(kind.name)


def _check_unique(noun: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise SpecError(f"the catalogue has {count} of the {noun} {name!r}; rename one")


CATALOGUE = Catalogue()
