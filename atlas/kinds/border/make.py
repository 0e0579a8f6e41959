"""Responses of units to an image of one colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F

from atlas.kinds.border import BorderRecord, BorderSpec, answers_to_borders, place_words
from atlas.network.taps import Tap
from atlas.pictures.panel import Panel, rounded
from atlas.plan import Job
from atlas.renderer import Renderer

STRONG = 0.75  # share of the excess that counts as strong


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """The responses of all jobs' layers, layer after layer."""
    for job in jobs:
        yield [border_panel(renderer.network.tap(job.layer, "float32"), job.spec)]


@torch.inference_mode()
def border_panel(tap: Tap, spec: BorderSpec) -> Panel:
    """Each unit's response at its strongest position and at the middle one, and where it is strong.

    Args:
        tap: a float32 tap on the units' layer.
        spec: gives the size of the image.

    Raises:
        NetworkError: a response is not finite.
    """
    n_channels = tap.image_mean.shape[1]
    image = torch.zeros(1, n_channels, spec.size_px, spec.size_px, device=tap.device)
    z = tap.all_sigmas(tap.checked(tap(image)))[0]  # (n_units, h, w)
    middle = tap.middle(z)
    excess = z.amax((1, 2)) - middle
    ninths = F.adaptive_max_pool2d(z - middle[:, None, None], 3)  # (n_units, 3, 3)
    strong = (ninths >= STRONG * excess[:, None, None]).tolist()
    record = BorderRecord(
        rounded(excess + middle),
        rounded(middle),
        rounded(excess),
        [
            place_words(where) or None if answers_to_borders(above) else None
            for where, above in zip(strong, excess.tolist(), strict=True)
        ],
    )
    return Panel(tap.layer.whole, record)
