"""What units answer to borders, in words for pages."""

from __future__ import annotations

from collections.abc import Sequence

from atlas.kinds.border import KIND
from atlas.site.contents import Contents
from atlas.units import Layer


def places(contents: Contents, layer: Layer) -> Sequence[str | None]:
    """Where the border drives each unit of a layer; None for those that do not answer to it."""
    record = contents.layer_record(layer, KIND)
    return record.place if record else [None] * layer.n_units
