"""The units most like a unit, in its layer and in others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from atlas.site import wording
from atlas.site.circuit_views import Partner, partner_of
from atlas.site.views import Contents
from atlas.units import Layer, Unit

BASES = {
    "photographs": "Correlation of their answers to the same photographs.",
    "pictures": "Likeness of what the network makes of their pictures.",
}


class Similar(NamedTuple):
    """A unit's neighbours, most similar first."""

    within: tuple[Partner, ...]
    across: tuple[Partner, ...]
    basis: str


def similar_to(contents: Contents, layer: Layer, unit: Unit) -> Similar | None:
    """The neighbours of a unit; None where none were found."""
    numbers = contents.panel(unit, "similar")
    within, across = numbers.get("within", ()), numbers.get("across", ())
    if not within and not across:
        return None
    return Similar(
        tuple(_neighbour(contents, layer, each) for each in within),
        tuple(_neighbour(contents, layer, each) for each in across),
        BASES[contents.panel_facts(layer, "similar")["basis"]],
    )


def _neighbour(contents: Contents, home: Layer, found: Sequence[Any]) -> Partner:
    index, channel, similarity = found
    layer = contents.facts.layers[index]
    spelled = wording.plain(similarity)
    return partner_of(contents, layer, channel, spelled, named=layer != home)
