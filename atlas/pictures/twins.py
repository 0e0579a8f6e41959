"""Two seeds of one unit: how alike is what they show?

Pixels say little, for the same thing may stand elsewhere. So the two pictures are compared as the
layer sees them: by the mean response of all its other units. Two pictures of different units give
the number that this must be held against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from atlas.pictures.ascent import all_responses, finish, quantise
from atlas.pictures.picture import Picture
from atlas.pictures.recipes import ascend
from atlas.spec import Twin
from atlas.taps import Tap
from atlas.units import Unit


def twin_pictures(fast: Tap, exact: Tap, units: Sequence[Unit], spec: Twin) -> list[Picture]:
    """The units' pictures from the second seed, and how they compare with the first.

    Args:
        fast: the tap to ascend on.
        exact: a float32 tap to measure with.
        units: B units of the tapped layer.
        spec: the recipe with both seeds.
    """
    layer = exact.layer
    others = [layer.unit((unit.index + 1) % layer.n_units) for unit in units]
    first = ascend(fast, [*units, *others], spec.first)
    second = ascend(fast, units, spec.second)
    own, other = profiles(exact, first.final).split(len(units))  # (B, n_units) each
    twin = profiles(exact, second.final)
    pictures = []
    for row, picture in enumerate(finish(second, units, exact)):
        alike = {
            "similarity": _rounded(similarity(own[row], twin[row], units[row].index)),
            "similarity_other": _rounded(similarity(other[row], twin[row], units[row].index)),
        }
        pictures.append(Picture(picture.unit, picture.pixels, picture.numbers | alike))
    return pictures


def profiles(tap: Tap, images: Tensor) -> Tensor:
    """What all units of a layer make of images (B, 3, H, W), on average: (B, n_units)."""
    return all_responses(tap, quantise(images) / 255).mean((2, 3))


def similarity(one: Tensor, other: Tensor, left_out: int) -> float | None:
    """Pearson's correlation of two profiles (n_units,) without one unit; None for a constant.

    The unit itself is left out: both pictures were made to drive it.
    """
    kept = torch.arange(len(one), device=one.device) != left_out
    if int(kept.sum()) < 2:
        return None
    value = float(torch.corrcoef(torch.stack([one[kept], other[kept]]))[0, 1])
    return value if math.isfinite(value) else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
