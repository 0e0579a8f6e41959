"""Two seeds of one unit: how alike is what they show?

Pixels say little, for the same thing may stand elsewhere. So the two pictures are compared as the
layer sees them: by the mean response of all its other units. Two pictures of different units give
the number that this must be held against.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from atlas.pictures.ascent import unit_channels
from atlas.pictures.finished import Finished, all_responses, finish, quantise
from atlas.pictures.recipes import ascend
from atlas.spec import Twin
from atlas.taps import Tap
from atlas.units import Unit


def twin_pictures(fast: Tap, exact: Tap, units: Sequence[Unit], spec: Twin) -> Finished:
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
    channels = unit_channels(units, twin.device)
    alike = {
        "similarity": similarity(own, twin, channels),
        "similarity_other": similarity(other, twin, channels),
    }
    return finish(second, units, exact, more=alike)


def profiles(tap: Tap, images: Tensor) -> Tensor:
    """What all units of a layer make of images (B, 3, H, W), on average: (B, n_units)."""
    return all_responses(tap, quantise(images) / 255).mean((2, 3))


def similarity(one: Tensor, other: Tensor, left_out: Tensor) -> Tensor:
    """Pearson's correlation of profiles (B, n_units), row by row: (B,). NaN for a constant.

    The units themselves, `left_out`, do not count: both pictures were made to drive them.
    """
    counts = torch.ones_like(one).scatter(1, left_out[:, None], 0.0)
    a, b = (_centred(profile, counts) for profile in (one, other))
    return (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()


def _centred(profile: Tensor, counts: Tensor) -> Tensor:
    mean = (profile * counts).sum(1, keepdim=True) / counts.sum(1, keepdim=True)
    return (profile - mean) * counts
