"""What units answer to photographs: one pass over a folder, all layers watched at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.network import Tap, Watch
from atlas.panels.panel import Panel, rounded
from atlas.photographs import Photographs, Pixels

BATCH = 8  # all maps of all layers are in memory at once


class Extremes:
    """Per unit of one layer the highest and the lowest response so far, and to which image."""

    def __init__(self, n_units: int, device: torch.device) -> None:
        self.high = torch.full((n_units,), -torch.inf, device=device)
        self.low = torch.full((n_units,), torch.inf, device=device)
        self.highest = torch.full((n_units,), -1, device=device)  # position among the files
        self.lowest = torch.full((n_units,), -1, device=device)

    def update(self, z: Tensor, positions: Tensor) -> None:
        """Take in the responses (B, n_units, h, w) to images at these positions, (B,)."""
        high, row = z.amax((2, 3)).max(0)
        better = high > self.high
        self.high = torch.where(better, high, self.high)
        self.highest = torch.where(better, positions[row], self.highest)
        low, row = z.amin((2, 3)).min(0)
        better = low < self.low
        self.low = torch.where(better, low, self.low)
        self.lowest = torch.where(better, positions[row], self.lowest)


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
    extremes = {tap.layer.name: Extremes(tap.layer.n_units, watch.device) for tap in watch.taps}
    readable: set[int] = set()
    for batch in photographs.batches(size_px, BATCH):
        readable.update(index for index, _ in batch)
        if batch:
            positions = torch.tensor([index for index, _ in batch], device=watch.device)
            images = _images([pixels for _, pixels in batch], watch.device)
            for tap, z in watch.sigmas(images):
                extremes[tap.layer.name].update(z, positions)
        progress(min(BATCH, len(photographs.files)))
    skipped = [file for index, file in enumerate(photographs.files) if index not in readable]
    counts = {"n_images": len(readable), "n_skipped": len(skipped), "skipped": skipped[:20]}
    return [
        Panel(tap.layer.whole, counts | _numbers(tap, extremes[tap.layer.name], photographs.files))
        for tap in watch.taps
    ]


def _images(batch: Sequence[Pixels], device: torch.device) -> Tensor:
    """Photographs (H, W, 3) as images (B, 3, H, W) in 0..1."""
    return torch.from_numpy(np.stack(batch)).to(device).permute(0, 3, 1, 2) / 255


def _numbers(tap: Tap, extremes: Extremes, files: Sequence[str]) -> dict[str, Any]:
    if tap.layer.kind == "classifier":
        ends = {"logit_max": extremes.high, "logit_min": extremes.low}
    else:
        name = tap.score_name
        ends = {f"{name}_max": extremes.high, f"{name}_min": extremes.low}
    if not extremes.high.isfinite().all():
        return {}  # not one image could be read
    return {
        **{name: rounded(values) for name, values in ends.items()},
        "highest": [files[index] for index in extremes.highest.tolist()],
        "lowest": [files[index] for index in extremes.lowest.tolist()],
    }
