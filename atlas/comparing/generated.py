"""Images that are drawn by chance, for networks that come without any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.images import ImageSet
from atlas.pixels import Pixels
from atlas.units import Preprocessing

N_IMAGES = 64
CONTRAST = 0.22  # standard deviation of a channel, as in photographs
# Weights of lightness, blue against yellow and green against red in each of red, green and blue:
# the root of the covariance of colours in photographs.
# Source: Olah et al. 2017, https://distill.pub/2017/feature-visualization/
COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


@dataclass(frozen=True)
class GeneratedImages(ImageSet):
    """Noise with the spectrum of photographs (amplitudes fall as 1 / frequency) and their colours.

    The same every time; there are no objects in it.
    """

    files: tuple[str, ...] = tuple(f"{nth:02d}.png" for nth in range(N_IMAGES))
    sha256: str = "generated 1"  # raised with every change of an image

    @property
    def labels(self) -> tuple[str, ...]:
        """None: the images are not sorted into classes."""
        return ()

    def label(self, file: str) -> None:
        """None: no image has a class."""

    def load(self, file: str, preprocessing: Preprocessing) -> Pixels:
        """One image, (size_px, size_px, n_channels)."""
        rng = np.random.default_rng(int(file.removesuffix(".png")))
        n_channels, size_px = len(preprocessing.mean), preprocessing.size_px
        planes = np.stack([_plane(rng, size_px) for _ in range(n_channels)], axis=-1)
        if n_channels == len(COLOURS):
            planes = planes @ (COLOURS / np.linalg.norm(COLOURS, axis=1, keepdims=True)).T
        pixels: Pixels = np.rint(255 * np.clip(0.5 + CONTRAST * planes, 0, 1)).astype(np.uint8)
        return pixels


def _plane(rng: np.random.Generator, size_px: int) -> NDArray[np.float64]:
    """Noise of unit variance whose amplitudes fall as 1 / frequency, (size_px, size_px)."""
    rows, columns = np.fft.fftfreq(size_px)[:, None], np.fft.rfftfreq(size_px)[None, :]
    spectrum = np.fft.rfft2(rng.standard_normal((size_px, size_px)))
    spectrum /= np.maximum(np.hypot(rows, columns), 1 / size_px)
    plane = np.fft.irfft2(spectrum, (size_px, size_px))
    normal: NDArray[np.float64] = (plane - plane.mean()) / plane.std()
    return normal
