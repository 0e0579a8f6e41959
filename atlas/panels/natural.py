"""What units answer to photographs: one pass over a folder, all layers watched at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.panels.panel import Panel, rounded
from atlas.photographs import Photographs, Pixels
from atlas.taps import Watch
from atlas.units import Layer

BATCH = 8  # all maps of all layers are in memory at once
N_NAMED = 20  # of the files that cannot be read


class Best:
    """Per unit of one layer the largest value so far, and the image that gave it."""

    def __init__(self, n_units: int, device: torch.device) -> None:
        self.values = torch.full((n_units,), -torch.inf, device=device)
        self.images = torch.full((n_units,), -1, device=device)  # positions among the files

    def update(self, values: Tensor, images: Tensor) -> None:
        """Take in values (B, n_units) of the images at these positions, (B,)."""
        largest, row = values.max(0)
        better = largest > self.values
        self.values = torch.where(better, largest, self.values)
        self.images = torch.where(better, images[row], self.images)


class Extremes:
    """Per unit of one layer the highest and the lowest response so far."""

    def __init__(self, n_units: int, device: torch.device) -> None:
        self.highest = Best(n_units, device)
        self.lowest = Best(n_units, device)  # of the responses turned over

    def update(self, z: Tensor, images: Tensor) -> None:
        """Take in the responses (B, n_units, h, w) to the images at these positions, (B,)."""
        self.highest.update(z.amax((2, 3)), images)
        self.lowest.update(-z.amin((2, 3)), images)


def natural_panels(
    watch: Watch,
    photographs: Photographs,
    size_px: int,
    progress: Callable[[int], object] = lambda n_images: None,
) -> list[Panel]:
    """For each watched layer, the best photograph of every unit for either sign.

    Args:
        watch: of the layers.
        photographs: to show the network; unreadable ones are counted and named.
        size_px: the network's input.
        progress: told how many more images were taken in.

    Raises:
        NetworkError: a response is not finite.
    """
    extremes = {
        reader.layer.name: Extremes(reader.layer.n_units, watch.device) for reader in watch.readers
    }
    skipped: list[str] = []
    for batch in photographs.batches(size_px, BATCH):
        skipped += [photographs.files[index] for index, pixels in batch if pixels is None]
        readable = {index: pixels for index, pixels in batch if pixels is not None}
        if readable:
            positions = torch.tensor(list(readable), device=watch.device)
            for reader, z in watch.sigmas(_images(list(readable.values()), watch.device)):
                extremes[reader.layer.name].update(z, positions)
        progress(len(batch))
    n_images = len(photographs.files) - len(skipped)
    counts = {"n_images": n_images, "n_skipped": len(skipped), "skipped": skipped[:N_NAMED]}
    return [
        Panel(layer.whole, counts | _numbers(layer, extremes[layer.name], photographs.files))
        for layer in (reader.layer for reader in watch.readers)
    ]


def _images(batch: Sequence[Pixels], device: torch.device) -> Tensor:
    """Photographs (H, W, 3) as images (B, 3, H, W) in 0..1."""
    return torch.from_numpy(np.stack(batch)).to(device).permute(0, 3, 1, 2) / 255


def _numbers(layer: Layer, extremes: Extremes, files: Sequence[str]) -> dict[str, Any]:
    highest, lowest = extremes.highest, extremes.lowest
    if not highest.values.isfinite().all():
        return {}  # not one image could be read
    name = layer.score_name
    return {
        f"{name}_max": rounded(highest.values),
        f"{name}_min": rounded(-lowest.values),
        "highest": [files[index] for index in highest.images.tolist()],
        "lowest": [files[index] for index in lowest.images.tolist()],
    }
