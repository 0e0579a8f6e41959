"""Images in the channels that a network takes."""

from __future__ import annotations

import torch
from torch import Tensor

RGB = 3
# Shares of red, green and blue in brightness, as Pillow's "L": ITU-R BT.601.
LUMA = (0.299, 0.587, 0.114)


def in_channels_of(mean: Tensor, images: Tensor) -> Tensor:
    """RGB images in the channels of a network.

    One channel is brightness. What more than three channels stand for is not known: the first
    three are red, green and blue, and the others are held at their mean. Of two, the first is
    brightness.

    Args:
        mean: of each channel of the network's images, (1, C, 1, 1).
        images: (B, 3, H, W), in 0..1.

    Returns:
        (B, C, H, W), in 0..1; the images themselves if C is 3.
    """
    n_channels = mean.shape[1]
    if n_channels == RGB:
        return images
    known = images if n_channels > RGB else _brightness(images)
    shape = (len(images), n_channels - known.shape[1], *images.shape[2:])
    rest = mean[:, known.shape[1] :].expand(shape)
    return torch.cat([known, rest.to(images)], 1)


def _brightness(images: Tensor) -> Tensor:
    """The brightness of images, (B, 3, H, W) -> (B, 1, H, W)."""
    shares = torch.tensor(LUMA, device=images.device, dtype=images.dtype).view(1, -1, 1, 1)
    return (images * shares).sum(1, keepdim=True)


def as_rgb(colour: Tensor) -> Tensor:
    """A colour in the channels of a network, (C,), as red, green and blue, (3,)."""
    return colour[:RGB] if len(colour) >= RGB else colour[:1].expand(RGB)
