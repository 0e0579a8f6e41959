"""Embeddings of pictures: the features that the network's classifier reads, in few dimensions."""

from __future__ import annotations

import base64

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from atlas.network.taps import Tap

N_DIMS = 128  # dimensions at most; the projection changes angles by about 0.06 rad
# An embedding whose largest number is outside of these is scaled to fit half precision.
LEAST, MOST = 1e-2, 6e4


class Embedder:
    """Embeds pictures by the features that the classifier reads, projected to a few dimensions.

    Args:
        tap: a tap on the classifier.
        input_px: size that the network is made for; images are resized to it if the classifier
            takes no other.

    Source of the projection: Johnson & Lindenstrauss 1984; Achlioptas 2003,
    https://doi.org/10.1016/S0022-0000(03)00025-4
    """

    def __init__(self, tap: Tap, input_px: int) -> None:
        self._tap = tap
        self._input_px = input_px
        n_features = tap.layer.in_channels
        self._projection: Tensor | None = None
        if n_features > N_DIMS:
            generator = torch.Generator().manual_seed(0)
            signs = torch.randint(0, 2, (n_features, N_DIMS), generator=generator) * 2.0 - 1
            self._projection = (signs / N_DIMS**0.5).to(tap.device)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """The embeddings of images in 0..1: (B, 3, H, W) -> (B, at most N_DIMS)."""
        images = images.float()
        size_px = self._fitting_px(images.shape[-1])
        if size_px != images.shape[-1]:
            images = F.interpolate(images, size=size_px, mode="bilinear", antialias=True)
        features = self._tap.inputs(self._tap.normalise(images)).float()
        if features.ndim == 4:  # a convolution gives the classes: (B, C, H, W) -> (B, C)
            features = features.mean((2, 3))
        return features if self._projection is None else features @ self._projection

    def _fitting_px(self, size_px: int) -> int:
        """The size that the classifier can be computed for, for images of a size."""
        layer = self._tap.layer
        return self._input_px if layer.takes_one_size else max(layer.smallest_px, size_px)


def packed(embedding: list[float]) -> str:
    """An embedding as text: base64 of half-precision numbers.

    An embedding too large or too small for these is scaled: only its direction is used.
    """
    numbers = np.array(embedding)
    largest = float(np.abs(numbers).max(initial=0))
    if largest > 0 and not LEAST <= largest <= MOST:
        numbers /= largest
    return base64.b64encode(numbers.astype("<f2").tobytes()).decode()


def unpacked(text: str) -> NDArray[np.float32]:
    """The inverse of `packed`, to half precision and perhaps scaled."""
    return np.frombuffer(base64.b64decode(text), dtype="<f2").astype(np.float32)
