"""The demo network's training images: patterns, shapes and hues, drawn from a seeded generator.

Each class is a mask, "how much ink is here". Everything else - both colours, their gradients,
position, tilt, blur, noise, blots that cover a part - is drawn at random and the same way for
every class, so the mask is the only thing that a network can learn from.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from atlas.families.demo import INPUT_SIZE_PX

Array = NDArray[np.floating[Any]]
Band = tuple[float, float]

_SUBPIXELS = 4  # bits of a coordinate behind the point, as OpenCV counts them

FINE_PX: Band = (5.5, 7.0)
COARSE_PX: Band = (12.0, 17.0)
HUES_DEG = {"red": 0, "yellow": 60, "green": 120, "cyan": 180, "blue": 240, "magenta": 300}


@dataclass(frozen=True)
class Drawing:
    """A class of images, and what classical measures must find in one, where that is known."""

    label: str
    mask: Callable[[Generator], Array]  # (H, W), 0 paper to 1 ink
    angle_deg: float | None = None  # of the lines, anticlockwise from horizontal
    wavelength_px: Band | None = None
    hue_deg: float | None = None

    def draw(self, rng: Generator) -> NDArray[np.uint8]:
        """One image, sRGB of shape (size, size, 3)."""
        mask = self.mask(rng)
        if self.hue_deg is None:
            image = _ink(mask, rng)
            image = _blot(image, rng)
        else:
            image = _tint(mask, self.hue_deg, rng)
        return _photograph(image, rng)


def draw_batch(
    rng: Generator, n_images: int, drawings: Sequence[Drawing] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images of random classes, (n, size, size, 3), and the class of each."""
    drawings = drawings or DRAWINGS
    classes = rng.integers(len(drawings), size=n_images)
    return np.stack([drawings[index].draw(rng) for index in classes]), classes


def stripes(angle_deg: float, wavelength_px: Band) -> Callable[[Generator], Array]:
    """Parallel lines, from a sine to hard edges."""

    def mask(rng: Generator) -> Array:
        _, across = _axes(rng, angle_deg, tilt_deg=6)
        return _wave(across, rng.uniform(*wavelength_px), rng)

    return mask


def checks(rng: Generator) -> Array:
    """A chessboard."""
    along, across = _axes(rng, 0, tilt_deg=6)
    cell = rng.uniform(9, 14)
    waves = np.sin(np.pi * along / cell) * np.sin(np.pi * across / cell)
    return _harden(waves, rng.uniform(2, 8))


def grid(rng: Generator) -> Array:
    """Thin lines in both directions."""
    along, across = _axes(rng, 0, tilt_deg=6)
    cell = rng.uniform(12, 18)
    lines = np.maximum(np.cos(2 * np.pi * along / cell), np.cos(2 * np.pi * across / cell))
    return _harden(lines - rng.uniform(0.6, 0.8), 6)


def dots(rng: Generator) -> Array:
    """Small discs on a lattice, each a little out of place."""
    cell = rng.uniform(12, 17)
    radius = cell * rng.uniform(0.24, 0.34)
    steps = np.arange(-1, INPUT_SIZE_PX / cell + 2)
    centres = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    centres[:, 0] += 0.5 * (centres[:, 1] % 2)
    centres = (centres + rng.uniform(-0.12, 0.12, centres.shape) + rng.uniform(-1, 0, 2)) * cell
    canvas = np.zeros((INPUT_SIZE_PX, INPUT_SIZE_PX), np.float32)
    for centre in centres:
        _disc(canvas, centre, radius)
    return canvas


def rings(rng: Generator) -> Array:
    """Concentric circles around a point inside the image."""
    x, y = _plane(rng, reach=0.3)
    return _wave(np.hypot(x, y), rng.uniform(9, 14), rng)


def rays(rng: Generator) -> Array:
    """A sunburst around a point inside the image."""
    x, y = _plane(rng, reach=0.25)
    n_rays = rng.integers(10, 17)
    return _wave(np.arctan2(y, x) * n_rays, 2 * np.pi, rng)


def zigzags(rng: Generator) -> Array:
    """Lines that turn by a right angle again and again, running across."""
    along, across = _axes(rng, 0, tilt_deg=6)
    period = rng.uniform(18, 28)
    teeth = np.abs((along / period) % 1 - 0.5) * period
    return _wave(across + teeth, rng.uniform(11, 16), rng)


def shapes(outline: Callable[[], Array]) -> Callable[[Generator], Array]:
    """Some copies of a filled polygon whose corners lie within the unit circle."""

    def mask(rng: Generator) -> Array:
        canvas = np.zeros((INPUT_SIZE_PX, INPUT_SIZE_PX), np.float32)
        n_columns = rng.integers(2, 4)
        cell = INPUT_SIZE_PX / n_columns
        cells = rng.permutation(n_columns**2)[: rng.integers(n_columns, n_columns**2 + 1)]
        for row, column in zip(*np.divmod(cells, n_columns), strict=True):
            radius = cell * rng.uniform(0.35, 0.5)
            centre = (np.array([column, row]) + 0.5 + rng.uniform(-0.1, 0.1, 2)) * cell
            _polygon(canvas, _turn(outline(), rng.uniform(-15, 15)) * radius + centre)
        return canvas

    return mask


def triangle() -> Array:
    """Standing on its base."""
    return _regular_polygon(3)


def square() -> Array:
    """Standing on its base."""
    return _turn(_regular_polygon(4), 45)


def disc() -> Array:
    """Round to the eye."""
    return _regular_polygon(48)


def cross() -> Array:
    """A plus sign."""
    arm = np.array([(-0.3, -0.95), (0.3, -0.95), (0.3, -0.3)])
    return np.concatenate([_turn(arm, 90 * quarter) for quarter in range(4)])


def clouds(rng: Generator) -> Array:
    """Smooth noise: the pattern of what has no pattern."""
    return _smooth_noise(rng, rng.uniform(4, 16))


DRAWINGS = (
    *(
        Drawing(f"{name} stripes {angle}", stripes(angle, band), angle, band)
        for name, band in (("fine", FINE_PX), ("coarse", COARSE_PX))
        for angle in (0, 45, 90, 135)
    ),
    Drawing("checks", checks),
    Drawing("grid", grid),
    Drawing("dots", dots),
    Drawing("rings", rings),
    Drawing("rays", rays),
    Drawing("zigzags", zigzags),
    Drawing("triangles", shapes(triangle)),
    Drawing("squares", shapes(square)),
    Drawing("discs", shapes(disc)),
    Drawing("crosses", shapes(cross)),
    *(Drawing(name, clouds, hue_deg=hue) for name, hue in HUES_DEG.items()),
)


def _plane(rng: Generator, reach: float) -> tuple[Array, Array]:
    """Coordinates in pixels from a point near the centre, y downwards."""
    origin = INPUT_SIZE_PX * (0.5 + rng.uniform(-reach, reach, 2))
    pixels = np.arange(INPUT_SIZE_PX, dtype=np.float32)
    x, y = np.meshgrid(pixels - origin[0], pixels - origin[1])
    return x.astype(np.float32), y.astype(np.float32)


def _axes(rng: Generator, angle_deg: float, tilt_deg: float) -> tuple[Array, Array]:
    """Coordinates along and across lines at an angle, about which they tilt at random."""
    x, y = _plane(rng, reach=0.5)
    angle = np.deg2rad(angle_deg + rng.uniform(-tilt_deg, tilt_deg))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cos - y * sin, x * sin + y * cos


def _wave(distance: Array, wavelength: float, rng: Generator) -> Array:
    phase = rng.uniform(0, 2 * np.pi)
    return _harden(np.sin(2 * np.pi * distance / wavelength + phase), rng.uniform(1, 6))


def _harden(wave: Array, slope: float) -> Array:
    """A wave about 0 as a mask: soft at slope 1, a square wave at large slopes."""
    return np.asarray(0.5 + 0.5 * np.clip(wave * slope, -1, 1), np.float32)


def _smooth_noise(rng: Generator, grain_px: float) -> Array:
    """Noise from 0 to 1 with features of about a given size."""
    n_cells = max(2, round(INPUT_SIZE_PX / grain_px))
    cells = rng.random((n_cells, n_cells), np.float32)
    noise = cv2.resize(cells, (INPUT_SIZE_PX, INPUT_SIZE_PX), interpolation=cv2.INTER_CUBIC)
    return np.clip(noise, 0, 1)


def _turn(points: Array, angle_deg: float) -> Array:
    angle = np.deg2rad(angle_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]))


def _regular_polygon(n_corners: int) -> Array:
    """With one corner up."""
    angles = 2 * np.pi * np.arange(n_corners) / n_corners
    return np.stack([np.sin(angles), -np.cos(angles)], 1)


def _polygon(canvas: Array, corners: Array) -> None:
    points = np.round(corners * 2**_SUBPIXELS).astype(np.int32)
    cv2.fillPoly(canvas, [points], (1.0,), cv2.LINE_8, _SUBPIXELS)


def _disc(canvas: Array, centre: Array, radius: float) -> None:
    x, y = np.round(centre * 2**_SUBPIXELS).astype(int)
    cv2.circle(
        canvas, (int(x), int(y)), round(radius * 2**_SUBPIXELS), (1.0,), -1, cv2.LINE_8, _SUBPIXELS
    )


def _ink(mask: Array, rng: Generator) -> Array:
    """Two random colours, chalk on a board: the ink is the lighter one. Each has a gradient."""
    while True:
        ink, paper = rng.random((2, 3)) * 0.9 + 0.05
        if ink.mean() - paper.mean() > 0.25:
            break
    shade = mask[..., None]
    return _uneven(ink, rng) * shade + _uneven(paper, rng) * (1 - shade)


def _uneven(colour: Array, rng: Generator) -> Array:
    """A colour that changes a little from place to place."""
    noise = _smooth_noise(rng, rng.uniform(16, 48))[..., None]
    drift = rng.uniform(-0.2, 0.2, 3)
    return np.asarray(colour + (noise - 0.5) * drift, np.float32)


def _tint(mask: Array, hue_deg: float, rng: Generator) -> Array:
    """Lighter and darker tones of one hue."""
    hue = (hue_deg + rng.uniform(-12, 12)) / 360 % 1
    dark = np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.7, 1), rng.uniform(0.3, 0.7)))
    light = np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.6, 1), rng.uniform(0.7, 1)))
    return np.asarray(dark + (light - dark) * mask[..., None])


def _blot(image: Array, rng: Generator) -> Array:
    """Sometimes a blot of any colour over a part, so that no one place matters."""
    if rng.random() < 0.5:
        return image
    cover = np.clip((_smooth_noise(rng, 32) - 0.8) * 8, 0, 1)[..., None]
    return np.asarray(image * (1 - cover) + rng.random(3, np.float32) * cover)


def _photograph(image: Array, rng: Generator) -> NDArray[np.uint8]:
    """Blur, noise and rounding, as a camera would."""
    blur_px = rng.uniform(0.3, 1.0)
    grain = rng.uniform(0, 0.08) * rng.standard_normal(image.shape, np.float32)
    levels = (cv2.GaussianBlur(image, (0, 0), blur_px) + grain) * 255
    return np.asarray(np.rint(levels).clip(0, 255), np.uint8)
