"""The tutorial's plain loop: one image at a time through the whole network, read by a hook.

Tests compare the images of `progressive.py` with it, and the benchmark compares speeds. It is not
used to build an atlas.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atlas.pictures.progressive import start_image
from atlas.recipes import Progressive
from atlas.units import Unit


def render_one(model: nn.Module, unit: Unit, recipe: Progressive) -> NDArray[np.float32]:
    """One unit's image before it is clipped and stretched for display, (N, N, 3)."""
    outputs: dict[str, Tensor] = {}
    hook = model.get_submodule(unit.layer).register_forward_hook(
        lambda _module, _inputs, output: outputs.update(output=output.clone())
    )
    device = next(model.parameters()).device
    pixels = start_image(unit, recipe).permute(1, 2, 0).numpy()  # (N, N, 3)
    for size_px in recipe.sizes_px[1:]:
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device, copy=True)
        image.requires_grad_(True)
        optimiser = torch.optim.Adam([image], lr=recipe.lr, weight_decay=recipe.weight_decay)
        for _ in range(recipe.steps):
            model(image)
            optimiser.zero_grad()
            (-outputs["output"][0, unit.index].mean()).backward()
            optimiser.step()
        pixels = image.detach()[0].permute(1, 2, 0).contiguous().cpu().numpy()
        pixels = cv2.resize(pixels, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
        pixels = cv2.blur(pixels, (recipe.blur_px, recipe.blur_px))
    hook.remove()
    return pixels.astype(np.float32)
