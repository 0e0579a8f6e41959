"""The units most like a unit, in its layer and in others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from atlas.kinds.similar import KIND, Basis
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Partner, partner_of
from atlas.units import Layer, Unit

BASES: Mapping[Basis, str] = {
    "photographs": "Correlation of their answers to the same photographs.",
    "pictures": "Likeness of what the network makes of their pictures.",
}


class SimilarView(NamedTuple):
    """A unit's neighbours, most similar first."""

    within: tuple[Partner, ...]
    across: tuple[Partner, ...]
    basis: str


def section_view(contents: Contents, layer: Layer, unit: Unit) -> SimilarView | None:
    """The neighbours of a unit, None if it has none."""
    record = contents.layer_record(layer, KIND)
    if record is None:
        return None
    within, across = record.within[unit.index], record.across[unit.index]
    if not within and not across:
        return None
    return SimilarView(
        tuple(_neighbour(contents, layer, each) for each in within),
        tuple(_neighbour(contents, layer, each) for each in across),
        BASES[record.basis],
    )


def _neighbour(contents: Contents, home: Layer, neighbour: Sequence[float]) -> Partner:
    index, channel, similarity = neighbour
    layer = contents.facts.layers[int(index)]
    spelled = wording.plain(similarity)
    named = layer.name != home.name
    return partner_of(contents, layer, int(channel), spelled, named=named, home=home.name)
