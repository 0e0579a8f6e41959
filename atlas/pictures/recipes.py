"""Choose the ascent for a recipe."""

from __future__ import annotations

from collections.abc import Sequence

from atlas.network.taps import Tap
from atlas.observer import Advance, unobserved
from atlas.pictures import fourier, progressive
from atlas.pictures.ascent import Ascent
from atlas.recipes import Fourier, Recipe
from atlas.units import Unit


def ascend(
    tap: Tap, units: Sequence[Unit], recipe: Recipe, on_step: Advance = unobserved
) -> Ascent:
    """Run the ascent that the recipe describes, for units of the tapped layer.

    Args:
        tap: a tap on the units' layer.
        units: B units.
        recipe: the recipe.
        on_step: told after each step how many pixels the network was shown, in all B images.
    """
    if isinstance(recipe, Fourier):
        return fourier.ascend(tap, units, recipe, on_step)
    return progressive.ascend(tap, units, recipe, on_step)
