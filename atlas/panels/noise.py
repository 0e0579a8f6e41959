"""What units answer to plain noise: the floor that every picture must be held against."""

from __future__ import annotations

import torch

from atlas.panels.panel import Panel, rounded
from atlas.spec import Noise
from atlas.taps import Tap


@torch.inference_mode()
def noise_panel(tap: Tap, spec: Noise, batch_size: int) -> Panel:
    """The average, over images of noise, of each unit's mean and extreme responses.

    Args:
        tap: a float32 tap.
        spec: how much noise.
        batch_size: images at once.

    Raises:
        NetworkError: a response is not finite.
    """
    generator = torch.Generator().manual_seed(spec.seed)
    shape = (spec.n_images, 3, spec.size_px, spec.size_px)
    noise = torch.rand(shape, generator=generator).to(tap.device)
    means, highs, lows = [], [], []
    for images in noise.split(batch_size):
        z = tap.all_sigmas(tap.checked(tap(tap.normalise(images))))  # (B, n_units, h, w)
        means.append(z.mean((2, 3)))
        highs.append(z.amax((2, 3)))
        lows.append(z.amin((2, 3)))
    average, high, low = (torch.cat(parts).mean(0) for parts in (means, highs, lows))
    name = tap.layer.score_name
    numbers = {name: rounded(average), f"{name}_max": rounded(high), f"{name}_min": rounded(low)}
    return Panel(tap.layer.whole, {"n_images": spec.n_images, **numbers})
