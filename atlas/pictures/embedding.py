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


class Embedder:
    """Embeds pictures by the features that the classifier reads, projected to a few dimensions.

    Args:
        tap: a tap on the classifier.
        size_px: that images are resized to; None if the classifier takes images of any size.

    Source of the projection: Johnson & Lindenstrauss 1984; Achlioptas 2003,
    https://doi.org/10.1016/S0022-0000(03)00025-4
    """

    def __init__(self, tap: Tap, size_px: int | None = None) -> None:
        self._tap = tap
        self._size_px = size_px
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
        if self._size_px:
            images = F.interpolate(images, size=self._size_px, mode="bilinear", antialias=True)
        features = self._tap.inputs(self._tap.normalise(images)).float()
        return features if self._projection is None else features @ self._projection


def packed(embedding: list[float]) -> str:
    """An embedding as text: base64 of half-precision numbers."""
    return base64.b64encode(np.array(embedding, dtype="<f2").tobytes()).decode()


def unpacked(text: str) -> NDArray[np.float32]:
    """The inverse of `packed`, to half precision."""
    return np.frombuffer(base64.b64decode(text), dtype="<f2").astype(np.float32)
