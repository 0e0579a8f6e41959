"""Pictures from a second seed, and how alike both pictures of a unit are.

The same thing may stand elsewhere in the other picture, so pixels are not compared, but the mean
responses of all other units of the layer. The same number for the pictures of two different units
is what it must be held against.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from atlas.kinds.twin import TwinRecord, TwinSpec
from atlas.network.taps import Tap
from atlas.pictures.ascent import unit_channels
from atlas.pictures.finished import Finished, all_responses, finish, quantise
from atlas.pictures.recipes import ascend
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.units import Unit

IMAGES_PER_UNIT = 2  # a twin is rendered together with its neighbour


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[Finished]:
    """The twins of all jobs, batch after batch."""
    for job in jobs:
        yield from _twins(renderer, job, job.spec)


def _twins(renderer: Renderer, job: Job, spec: TwinSpec) -> Iterator[Finished]:
    def make_batch(fast: Tap, exact: Tap, units: Sequence[Unit]) -> Finished:
        return twin_pictures(fast, exact, units, spec)

    yield from renderer.batches(job, spec.first, make_batch, IMAGES_PER_UNIT)


def twin_pictures(fast: Tap, exact: Tap, units: Sequence[Unit], spec: TwinSpec) -> Finished:
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
    return finish(second, units, exact, TwinRecord, more=alike)


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
