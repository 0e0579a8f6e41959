"""The link from a unit's page to its place on the map."""

from __future__ import annotations

from atlas import paths
from atlas.site.contents import Contents
from atlas.site.parts import Link
from atlas.units import Layer, Unit


def link_view(contents: Contents, layer: Layer, unit: Unit) -> Link | None:
    """A link to the map, None for a unit that is not on it."""
    record = contents.excitatory(unit)
    if not contents.has_map or record is None or record.dead or not record.embedding:
        return None
    return Link("Show on the map", f"../{paths.MAP}#unit={unit.id}")
