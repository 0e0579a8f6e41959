"""Responses of units to plain noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from atlas.kinds.noise import NoiseRecord, NoiseSpec
from atlas.network.taps import Tap
from atlas.pictures.panel import Panel, rounded
from atlas.plan import Job
from atlas.renderer import Renderer


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """The responses of all jobs' layers, layer after layer."""
    for job in jobs:
        n_images = renderer.batching.noise_images(job.spec.size_px)
        yield [noise_panel(renderer.network.tap(job.layer, "float32"), job.spec, n_images)]


@torch.inference_mode()
def noise_panel(tap: Tap, spec: NoiseSpec, batch_size: int) -> Panel:
    """The average, over images of noise, of each unit's mean and extreme responses.

    Args:
        tap: a float32 tap on the units' layer.
        spec: gives the number, size and seed of the images of noise.
        batch_size: images per batch.

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
    record = NoiseRecord(spec.n_images, rounded(average), rounded(high), rounded(low))
    return Panel(tap.layer.whole, record)
