"""Responses of units to an image of one colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from atlas.kinds.border import BorderRecord, BorderSpec, place_words, responds_to_borders
from atlas.kinds.tuning.make import BORDER
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
    """Each unit's response to the border and the middle of an image of one colour.

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
    parts = border_peaks(z) - middle[:, None, None]  # (n_units, 3, 3)
    above = parts.amax((1, 2))
    border, excess = rounded(middle + above), rounded(above)
    strong = (parts >= STRONG * above[:, None, None]).tolist()
    places = [
        place_words(where) if responds_to_borders(*responses) else None
        for *responses, where in zip(border, excess, strong, strict=True)
    ]
    return Panel(tap.layer.whole, BorderRecord(border, rounded(middle), excess, places))


def border_peaks(maps: Tensor) -> Tensor:
    """The highest values of maps in their corners and along their edges.

    Args:
        maps: (N, h, w), of three rows and columns or more.

    Returns:
        Three rows of three parts, of which that in the middle is -inf: (N, 3, 3).
    """
    rows, columns = (_parts(size) for size in maps.shape[1:])
    peaks = maps.new_full((len(maps), 3, 3), -torch.inf)
    for row, column in product(range(3), repeat=2):
        if (row, column) != (1, 1):
            peaks[:, row, column] = maps[:, rows[row], columns[column]].amax((1, 2))
    return peaks


def _parts(size: int) -> tuple[slice, slice, slice]:
    """The positions of a row or column in the border at one end, between, and at the other end."""
    width = max(1, size // BORDER)
    return slice(0, width), slice(width, size - width), slice(size - width, size)
