"""Plain noise on the pages."""

from __future__ import annotations

from atlas.site.contents import Contents
from atlas.units import Layer


def median_words(contents: Contents, layer: Layer) -> str:
    """What the median of a layer's responses to noise is taken on."""
    return "plain noise"
