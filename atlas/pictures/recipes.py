"""Choose the ascent for a recipe."""

from __future__ import annotations

from collections.abc import Sequence

from atlas.network.taps import Tap
from atlas.pictures import fourier, progressive
from atlas.pictures.ascent import Ascent
from atlas.recipes import Fourier, Recipe
from atlas.units import Unit


def ascend(tap: Tap, units: Sequence[Unit], recipe: Recipe) -> Ascent:
    """Run the ascent that the recipe describes, for units of the tapped layer."""
    if isinstance(recipe, Fourier):
        return fourier.ascend(tap, units, recipe)
    return progressive.ascend(tap, units, recipe)
