"""The units most like a unit, in its layer and in others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from atlas.site import wording
from atlas.site.views import Contents, Link
from atlas.units import Layer, Unit, picture_path

BASES = {
    "photographs": "Correlation of their answers to the same photographs.",
    "pictures": "Likeness of what the network makes of their pictures.",
}


class Neighbour(NamedTuple):
    """A unit, and how alike it is."""

    link: Link
    src: str | None  # of its excitatory picture
    similarity: str


class Similar(NamedTuple):
    """A unit's neighbours, most similar first."""

    within: tuple[Neighbour, ...]
    across: tuple[Neighbour, ...]
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


def _neighbour(contents: Contents, home: Layer, found: Sequence[float]) -> Neighbour:
    index, channel, similarity = found
    layer = contents.facts.layers[int(index)]
    unit = layer.unit(int(channel))
    name = contents.label(layer, unit.index) or str(unit.index)
    page = contents.pages[layer.name].get(unit.index)
    pictured = contents.entry(unit, "excitatory") is not None
    return Neighbour(
        Link(
            name if layer == home else f"{layer.name}:{name}",
            _from(home, page) if page else None,
        ),
        _from(home, picture_path(unit)) if pictured else None,
        wording.plain(similarity),
    )


def _from(home: Layer, path: str) -> str:
    """A path within the site, from a page of a layer; the shorter, the better."""
    return path.removeprefix(f"{home.name}/") if path.startswith(f"{home.name}/") else f"../{path}"
