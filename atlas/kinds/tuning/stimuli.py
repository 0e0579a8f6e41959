"""Synthetic stimuli: gratings, hues, rings, and the blank background that they are drawn on.

The background is the mean colour of the network's preprocessing. Normalised, it is zero like the
padding, so a stimulus that fades out before the image border has no edge there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

import torch
from torch import Tensor

from atlas.kinds.tuning import TuningSpec

RING_SIGMA_PX = 1.5  # of a ring's Gaussian profile, which is about 4 px wide
WHITE = (1.0, 1.0, 1.0)


class Stimulus(NamedTuple):
    """A pattern in one colour, which is added to the blank at the highest possible contrast."""

    pattern: Tensor  # (H, W), within -1..1
    colour: tuple[float, ...] = WHITE  # per channel, within -1..1


@dataclass(frozen=True)
class PixelGrid:
    """Coordinates of pixels in pixels from the middle of the image; `y` increases downwards."""

    x: Tensor  # (1, W)
    y: Tensor  # (H, 1)

    @classmethod
    def of(cls, size_px: int, device: torch.device) -> PixelGrid:
        """The grid of a square image."""
        offset_px = torch.arange(size_px, device=device) - (size_px - 1) / 2
        return cls(offset_px[None, :], offset_px[:, None])

    @property
    def radius(self) -> Tensor:
        """Distance from the middle in pixels, (H, W)."""
        return torch.hypot(self.x, self.y)

    @property
    def aperture(self) -> Tensor:
        """A soft round window (H, W): 1 up to halfway to the border, falling to 0 at the border."""
        share = self.radius / (self.x.shape[1] / 2)
        return torch.cos(math.pi / 2 * (2 * share - 1).clamp(0, 1)).square()


def orientations_deg(spec: TuningSpec) -> list[float]:
    """Directions of the stripes in degrees, anticlockwise from horizontal; 90 is vertical."""
    return _evenly_spaced(180, spec.n_orientations)


def hues_deg(spec: TuningSpec) -> list[float]:
    """Hues in degrees: 0 red, 120 green, 240 blue."""
    return _evenly_spaced(360, spec.n_hues)


def stimuli(spec: TuningSpec, mean: Tensor) -> Iterator[Tensor]:
    """The images, (3, H, W) in 0..1 each, drawn as they are iterated over.

    In order: gratings by period, then orientation, then phase; hues; rings by radius, bright and
    dark; the blank. Contrast is as high as the blank's colour allows.

    Args:
        spec: gives the numbers and sizes of the stimuli.
        mean: the blank's colour in 0..1, (3,).
    """
    grid = PixelGrid.of(spec.size_px, mean.device)
    contrast = torch.minimum(mean, 1 - mean).min()
    blank = mean[:, None, None].expand(-1, spec.size_px, spec.size_px)  # (3, H, W)
    for pattern, colour in chain(_gratings(spec, grid), _hues(spec, grid), _rings(spec, grid)):
        yield blank + contrast * mean.new_tensor(colour)[:, None, None] * pattern
    yield blank


def batches(images: Iterator[Tensor], n_images: int) -> Iterator[Tensor]:
    """Images (3, H, W) in batches (B, 3, H, W) of at most `n_images`."""
    while batch := list(islice(images, n_images)):
        yield torch.stack(batch)


def _gratings(spec: TuningSpec, grid: PixelGrid) -> Iterator[Stimulus]:
    aperture = grid.aperture
    for period_px in spec.periods_px:
        for angle_deg in orientations_deg(spec):
            angle = math.radians(angle_deg)
            across_px = grid.x * math.sin(angle) + grid.y * math.cos(angle)
            for phase in range(spec.n_phases):
                cycles = across_px / period_px + phase / spec.n_phases
                yield Stimulus(aperture * torch.sin(2 * math.pi * cycles))


def _hues(spec: TuningSpec, grid: PixelGrid) -> Iterator[Stimulus]:
    """Discs of one hue each, as bright as the blank: red, green and blue have the same sum."""
    aperture = grid.aperture
    for hue_deg in hues_deg(spec):
        colour = tuple(math.cos(math.radians(hue_deg - peak)) for peak in (0, 120, 240))
        yield Stimulus(aperture, colour)


def _rings(spec: TuningSpec, grid: PixelGrid) -> Iterator[Stimulus]:
    for radius_px in spec.radii_px:
        line = torch.exp(-0.5 * ((grid.radius - radius_px) / RING_SIGMA_PX).square())
        yield Stimulus(line)
        yield Stimulus(-line)


def _evenly_spaced(period_deg: int, n_angles: int) -> list[float]:
    return [round(nth * period_deg / n_angles, 2) for nth in range(n_angles)]
