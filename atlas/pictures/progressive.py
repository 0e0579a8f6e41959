"""The tutorial's recipe, batched: ascent on pixels, with enlarging and blurring between scales.

It is kept because its pictures are well known, and to test batching: in batches it gives the same
images as the plain loop in `reference.py`, which makes one image at a time.

Source: Graetz 2019, "How to visualize convolutional features in 40 lines of code"
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from atlas.network.channels import in_channels_of
from atlas.network.taps import Tap
from atlas.observer import Advance, unobserved
from atlas.pictures.ascent import (
    Ascent,
    backpropagate,
    to_device,
    unit_channels,
    unit_generator,
    with_gradient,
)
from atlas.recipes import Progressive
from atlas.units import Unit

START_LEVELS = (150, 180)  # grey levels out of 255, the upper one excluded


def ascend(
    tap: Tap, units: Sequence[Unit], recipe: Progressive, on_step: Advance = unobserved
) -> Ascent:
    """Synthesise, for each unit, an image that raises, or lowers, the mean of its raw output.

    The images are fed as they are, without the network's preprocessing, as the tutorial does.

    Args:
        tap: a tap on the units' layer.
        units: B units.
        recipe: scales, steps and blur.
        on_step: told after each step how many pixels the network was shown, in all B images.
    """
    device = tap.device
    channels = unit_channels(units, device)
    start = to_device(torch.stack([start_image(unit, recipe) for unit in units]), device)
    moved = torch.zeros(len(units), dtype=torch.bool, device=device)
    images = start
    loss_sign = -1 if recipe.aim == "excite" else 1
    for size_px in recipe.sizes_px[1:]:
        images = images.detach().requires_grad_(True)
        optimiser = torch.optim.Adam([images], lr=recipe.lr, weight_decay=recipe.weight_decay)
        for _ in range(recipe.steps):
            seen = in_channels_of(tap.image_mean, images)  # (B, C, N, N)
            score = tap.own_maps(seen, channels).mean((1, 2))  # (B,)
            score = with_gradient(score, tap.layer.name)
            optimiser.zero_grad()
            backpropagate(loss_sign * score.sum())
            assert images.grad is not None
            moved |= images.grad.flatten(1).abs().amax(1) > 0
            optimiser.step()
            on_step(images.shape[0] * images.shape[-1] ** 2)
        images = box_blur(enlarge(images.detach(), size_px), recipe.blur_px)
    return Ascent(start, stretch(images), moved)


def start_image(unit: Unit, recipe: Progressive) -> Tensor:
    """The unit's own light grey noise, (3, N, N) in 0..1."""
    shape = (3, recipe.start_px, recipe.start_px)
    generator = unit_generator(recipe.seed, unit, "noise 0")
    return torch.randint(*START_LEVELS, shape, generator=generator) / 255


def enlarge(images: Tensor, size_px: int) -> Tensor:
    """Bicubic, as `cv2.resize` does it: (B, 3, N, N) -> (B, 3, size_px, size_px)."""
    exact = images.double()  # in float32, sampling positions are too inexact to match `cv2`
    larger = F.interpolate(exact, size=(size_px, size_px), mode="bicubic", align_corners=False)
    return larger.float()


def box_blur(images: Tensor, width_px: int) -> Tensor:
    """Mean over a square, mirrored at the border, as `cv2.blur` does it: (B, 3, N, N)."""
    padded = F.pad(images, [width_px // 2] * 4, mode="reflect")
    return F.avg_pool2d(padded, width_px, stride=1)


def stretch(images: Tensor) -> Tensor:
    """Clip to 0..1, then stretch each image to its own min..max for display."""
    images = images.clamp(0, 1)
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp(min=1e-6)
