"""Images that are generated: dead leaves, which resemble photographs in their statistics.

Dead leaves are discs of all sizes that cover each other, each of one colour with a texture whose
power falls with frequency as that of photographs does. They depend on nothing but their number,
their size and their channels. How close they come to the statistics of photographs is in
docs/benchmarks.md.

Sources: Lee, Mumford & Huang 2001, https://doi.org/10.1023/A:1011109015675, for dead leaves as a
model of natural images; Baradad et al. 2021, https://arxiv.org/abs/2106.05963, for learning from
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.images import ImageSet
from atlas.pixels import Pixels
from atlas.units import N_REFERENCE_IMAGES, Preprocessing

SEED = 20190117
N_LEAVES = 250  # so many that nearly all of the image is covered
SMALLEST, LARGEST = 1 / 14, 1.0  # radii of the leaves, as shares of the image's side
SHARED, OWN = 0.3, 0.1  # deviation of a leaf's colour: in all channels together, and in each
TEXTURE = 0.1  # greatest deviation of a leaf's texture

Images = NDArray[np.float32]


def reference_images(
    size_px: int, n_channels: int, n_images: int = N_REFERENCE_IMAGES
) -> Iterator[Images]:
    """Generated images (n_channels, size_px, size_px) in 0..1."""
    return (reference_image(nth, size_px, n_channels) for nth in range(n_images))


def reference_image(number: int, size_px: int, n_channels: int) -> Images:
    """The generated image of a number, (n_channels, size_px, size_px) in 0..1."""
    return dead_leaves(size_px, n_channels, np.random.default_rng((SEED, number)))


def dead_leaves(size_px: int, n_channels: int, random: np.random.Generator) -> Images:
    """One image of dead leaves, (n_channels, size_px, size_px) in 0..1."""
    leaves = _cover(size_px, random)  # (N, N), the number of the uppermost leaf
    n_leaves = int(leaves.max()) + 1
    colours = 0.45 + SHARED * random.standard_normal((1, n_leaves))
    colours = colours + OWN * random.standard_normal((n_channels, n_leaves))
    contrasts = TEXTURE * random.random(n_leaves)
    shifts = random.integers(size_px, size=(2, n_leaves))
    rows, columns = np.indices(leaves.shape)
    rows = (rows + shifts[0, leaves]) % size_px
    columns = (columns + shifts[1, leaves]) % size_px
    texture = _pink_noise(size_px, random)[rows, columns] * contrasts[leaves]
    return np.asarray(np.clip(colours[:, leaves] + texture, 0, 1), dtype=np.float32)


@dataclass(frozen=True)
class GeneratedImages(ImageSet):
    """The reference images as a set, for networks that come without any images."""

    files: tuple[str, ...] = tuple(f"{nth:02d}.png" for nth in range(N_REFERENCE_IMAGES))
    sha256: str = "dead leaves 1"  # raised with every change of an image

    @property
    def labels(self) -> tuple[str, ...]:
        """None: the images are not sorted into classes."""
        return ()

    def label(self, file: str) -> None:
        """None: no image has a class."""

    def load(self, file: str, preprocessing: Preprocessing) -> Pixels:
        """One image, (size_px, size_px, 3), whatever channels the network takes."""
        number = int(file.removesuffix(".png"))
        image = reference_image(number, preprocessing.size_px, n_channels=3)
        pixels: Pixels = np.rint(255 * image.transpose(1, 2, 0)).astype(np.uint8)
        return pixels


def _cover(size_px: int, random: np.random.Generator) -> NDArray[np.intp]:
    """The numbers of the discs that are uppermost at each pixel, from the lowest to the highest.

    The density of radii falls with the third power, so that the image looks alike at all scales.
    """
    small, large = SMALLEST**-2, LARGEST**-2
    radii = size_px * (small + (large - small) * random.random(N_LEAVES)) ** -0.5
    centres = size_px * random.random((N_LEAVES, 2))
    leaves = np.zeros((size_px, size_px), dtype=np.intp)
    places = np.arange(size_px)
    for number, ((x, y), radius) in enumerate(zip(centres, radii, strict=True)):
        top, left = (max(0, int(each - radius)) for each in (y, x))
        bottom, right = (int(each + radius) + 1 for each in (y, x))
        inside = (places[top:bottom, None] - y) ** 2 + (places[left:right] - x) ** 2 <= radius**2
        leaves[top:bottom, left:right][inside] = number
    return leaves


def _pink_noise(size_px: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Noise whose amplitude falls with frequency, (size_px, size_px), of mean 0 and deviation 1."""
    rows, columns = np.fft.fftfreq(size_px)[:, None], np.fft.rfftfreq(size_px)
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.standard_normal((size_px, size_px))) / frequency
    noise = np.fft.irfft2(spectrum, s=(size_px, size_px))
    return np.asarray(noise / max(float(noise.std()), 1e-12))
