"""Several square pictures in one, side by side."""

from __future__ import annotations

from torch import Tensor

from atlas.pixels import Pixels


def side_by_side(levels: Tensor) -> Pixels:
    """Pictures (B, 3, H, H), uint8, as one, (H, B * H, 3)."""
    size_px = levels.shape[-1]
    strip: Pixels = levels.permute(2, 0, 3, 1).reshape(size_px, -1, 3).cpu().numpy()
    return strip
