"""Which units respond to borders, for pages."""

from __future__ import annotations

from collections.abc import Sequence

from atlas.kinds.border import KIND
from atlas.site.contents import Contents
from atlas.units import Layer


def places(contents: Contents, layer: Layer) -> Sequence[str | None]:
    """Where each unit of a layer responds to borders; None for those that do not."""
    record = contents.layer_record(layer, KIND)
    return record.place if record else [None] * layer.n_units
