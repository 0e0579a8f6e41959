"""Synthetic stimuli: gratings, colours and rings on the colour that the network pads with.

They fade out towards the rim, and what is padded around an image is its background, so the rim of
an image is no stimulus.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from atlas.spec import Tuning

SHARE = 0.9  # of the contrast that the background leaves room for
FULL_RADIUS, RIM_RADIUS = 0.36, 0.5  # of the aperture, as shares of the image's side
RING_PX = 1.5  # standard deviation of a ring's line


@dataclass(frozen=True)
class Stimuli:
    """All stimuli of one spec, in this order: gratings, hues, rings, the blank background.

    Args:
        spec: which stimuli.
        background: the colour behind them, (3,), in 0..1.
    """

    spec: Tuning
    background: Tensor

    @property
    def orientations_deg(self) -> tuple[float, ...]:
        """Of the stripes, anticlockwise from horizontal."""
        n = self.spec.n_orientations
        return tuple(180 * nth / n for nth in range(n))

    @property
    def hues_deg(self) -> tuple[float, ...]:
        """On the colour circle: 0 red, 120 green, 240 blue."""
        return tuple(360 * nth / self.spec.n_hues for nth in range(self.spec.n_hues))

    @property
    def n_gratings(self) -> int:
        """One for each orientation, period and phase, in this order of nesting."""
        return self.spec.n_orientations * len(self.spec.periods_px) * self.spec.n_phases

    @property
    def n_rings(self) -> int:
        """One bright and one dark for each radius."""
        return 2 * len(self.spec.radii_px)

    def __len__(self) -> int:
        return self.n_gratings + self.spec.n_hues + self.n_rings + 1

    def batches(self, n_images: int) -> Iterator[Tensor]:
        """All of them, drawn batch by batch: (at most n_images, 3, size_px, size_px) in 0..1."""
        parts = (self._gratings(), self._hues(), self._rings(), self._blank())
        waiting: list[Tensor] = []
        for part in parts:
            for image in part:
                waiting.append(image)
                if len(waiting) == n_images:
                    yield torch.stack(waiting)
                    waiting = []
        if waiting:
            yield torch.stack(waiting)

    def _gratings(self) -> Iterator[Tensor]:
        x, y = self._axes()
        for angle_deg in self.orientations_deg:
            angle = math.radians(angle_deg)
            across = x * math.sin(angle) + y * math.cos(angle)  # y runs downwards
            for period_px in self.spec.periods_px:
                for phase in range(self.spec.n_phases):
                    turn = 2 * math.pi * phase / self.spec.n_phases
                    yield self._shown(torch.cos(2 * math.pi * across / period_px + turn))

    def _hues(self) -> Iterator[Tensor]:
        """Colours with the same mean of red, green and blue."""
        first = self.background.new_tensor([2, -1, -1]) / math.sqrt(6)
        second = self.background.new_tensor([0, 1, -1]) / math.sqrt(2)
        for hue_deg in self.hues_deg:
            hue = math.radians(hue_deg)
            colour = math.cos(hue) * first + math.sin(hue) * second
            yield self._shown(colour[:, None, None])

    def _rings(self) -> Iterator[Tensor]:
        x, y = self._axes()
        radius_px = torch.hypot(x, y)
        for ring_px in self.spec.radii_px:
            line = torch.exp(-((radius_px - ring_px) ** 2) / (2 * RING_PX**2))
            yield self._shown(line)
            yield self._shown(-line)

    def _blank(self) -> Iterator[Tensor]:
        yield self._shown(self.background.new_zeros(1, 1))

    def _shown(self, pattern: Tensor) -> Tensor:
        """A pattern in -1..1, (H, W) or (3, 1, 1), on the background: (3, H, W)."""
        room = min(float(self.background.min()), 1 - float(self.background.max()))
        return self.background[:, None, None] + SHARE * room * self._aperture() * pattern

    def _aperture(self) -> Tensor:
        x, y = self._axes()
        share = torch.hypot(x, y) / self.spec.size_px
        fall = ((share - FULL_RADIUS) / (RIM_RADIUS - FULL_RADIUS)).clamp(0, 1)
        return (1 + torch.cos(math.pi * fall)) / 2  # (H, W)

    def _axes(self) -> tuple[Tensor, Tensor]:
        """Pixels to the right of the middle, and below it."""
        steps = torch.arange(self.spec.size_px, device=self.background.device)
        steps = steps - (self.spec.size_px - 1) / 2
        return steps[None, :], steps[:, None]
