"""Pictures from a second seed (twins), and how similar the two pictures of a unit are.

The same feature may be at another position in the second picture, so the mean responses of the
layer's other units are compared instead of pixels. For comparison, the similarity of the pictures
of two different units is measured too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from atlas.kinds.twin import TwinRecord, TwinSpec
from atlas.network.taps import Tap
from atlas.observer import Advance, unobserved
from atlas.pictures.ascent import unit_channels
from atlas.pictures.finished import Finished, all_responses, finish, quantise
from atlas.pictures.recipes import ascend
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.units import Unit

IMAGES_PER_UNIT = 2  # the pictures of a unit and of another unit are rendered together


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[Finished]:
    """The twins of all jobs, batch after batch."""
    for job in jobs:
        yield from _twins(renderer, job, job.spec)


def _twins(renderer: Renderer, job: Job, spec: TwinSpec) -> Iterator[Finished]:
    def make_batch(fast: Tap, exact: Tap, units: Sequence[Unit], on_step: Advance) -> Finished:
        return twin_pictures(fast, exact, units, spec, on_step)

    yield from renderer.batches(job, spec.first, make_batch, IMAGES_PER_UNIT)


def twin_pictures(
    fast: Tap,
    exact: Tap,
    units: Sequence[Unit],
    spec: TwinSpec,
    on_step: Advance = unobserved,
) -> Finished:
    """The units' pictures from the second seed, and how they compare with the first.

    Args:
        fast: the tap to ascend on.
        exact: a float32 tap to measure with.
        units: B units of the tapped layer.
        spec: the recipe with both seeds.
        on_step: told after each step how many pixels the network was shown, in all images.
    """
    layer = exact.layer
    other_units = [layer.unit((unit.index + 1) % layer.n_units) for unit in units]
    first = ascend(fast, [*units, *other_units], spec.first, on_step)
    second = ascend(fast, units, spec.second, on_step)
    own_profile, other_profile = profiles(exact, first.final).split(len(units))  # (B, n_units)
    twin_profile = profiles(exact, second.final)
    channels = unit_channels(units, twin_profile.device)
    similarities = {
        "similarity": similarity(own_profile, twin_profile, channels),
        "similarity_other": similarity(other_profile, twin_profile, channels),
    }
    return finish(second, units, exact, TwinRecord, more=similarities)


def profiles(tap: Tap, images: Tensor) -> Tensor:
    """Mean responses of all units of a layer to images (B, 3, H, W) in 0..1: (B, n_units)."""
    return all_responses(tap, quantise(images) / 255).mean((2, 3))


def similarity(one: Tensor, other: Tensor, left_out: Tensor) -> Tensor:
    """Pearson's correlation of profiles (B, n_units), row by row: (B,). NaN for a constant.

    The units that the pictures were made for, `left_out` (B,), are not compared, because both
    pictures drive them.
    """
    included = torch.ones_like(one).scatter(1, left_out[:, None], 0.0)  # 1 or 0, (B, n_units)
    a, b = (_centred(profile, included) for profile in (one, other))
    return (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()


def _centred(profile: Tensor, included: Tensor) -> Tensor:
    mean = (profile * included).sum(1, keepdim=True) / included.sum(1, keepdim=True)
    return (profile - mean) * included
