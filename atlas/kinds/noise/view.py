"""Plain noise on the pages."""

from __future__ import annotations

from atlas.site.contents import Contents
from atlas.units import Layer


def median_words(contents: Contents, layer: Layer) -> str:
    """What a layer's units responded to, for their median response."""
    return "plain noise"
