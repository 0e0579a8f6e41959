"""Pictures of units' own weights.

A conv over the image is shown in colour, as the tutorial does. Larger kernels over features are
shown as a montage of the strongest input slices, 1x1 kernels and class weights as sorted bars.
In both, positive weights are orange, negative ones blue, and zero is white.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from atlas.kinds.filter import FilterRecord, FilterSpec
from atlas.kinds.filter.montage import Montage
from atlas.pictures.picture import Picture
from atlas.pixels import Pixels
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.units import Layer, Unit

BATCH = 512  # units per batch
Weights = NDArray[np.float32]

# Ends of the diverging colour scale, chosen so that colour-blind people can tell them apart.
POSITIVE = np.array([214, 92, 20], dtype=np.float32)
NEGATIVE = np.array([28, 96, 180], dtype=np.float32)
NEUTRAL = np.array([255, 255, 255], dtype=np.float32)
GAP = np.array([232, 232, 232], dtype=np.uint8)


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Picture]]:
    """Pictures of the weights of all jobs, batch after batch."""
    for job in jobs:
        weights = renderer.network.weight(job.layer).float().cpu().numpy()
        swings = renderer.network.input_swings(job.layer).cpu().numpy()
        shares = renderer.network.norm_shares(job.layer)
        for first in range(0, len(job.units), BATCH):
            units = job.units[first : first + BATCH]
            pictures = filter_pictures(job.layer, weights, swings, units, job.spec)
            yield pictures if shares is None else [_with_share(each, shares) for each in pictures]


def _with_share(picture: Picture, shares: Tensor) -> Picture:
    """The picture with its unit's share of `Network.norm_shares`, (n_units,), in its record."""
    share = _rounded(shares[picture.unit.index].item())
    return replace(picture, record=replace(picture.record, norm_share=share))


def filter_pictures(
    layer: Layer, weights: Weights, swings: Weights, units: Sequence[Unit], spec: FilterSpec
) -> list[Picture]:
    """Pictures of the weights of some units of a layer.

    Args:
        layer: the units' layer.
        weights: of the whole layer, (n_units, in_channels / groups, kh, kw).
        swings: how far each input usually moves, (in_channels,); the slices of a montage are
            ordered by their norm times this.
        units: units of that layer.
        spec: gives the sizes.
    """
    return [filter_picture(layer, weights[unit.index], swings, unit, spec) for unit in units]


def filter_picture(
    layer: Layer, kernel: Weights, swings: Weights, unit: Unit, spec: FilterSpec
) -> Picture:
    """The picture of one unit's kernel, (in_channels / groups, kh, kw)."""
    first_input = unit.index // (layer.n_units // layer.groups) * kernel.shape[0]
    if layer.index == 0 and kernel.shape[0] == 3:
        return Picture(unit, *_rgb(kernel, spec))
    if kernel.shape[1:] == (1, 1):
        return Picture(unit, *_bars(kernel[:, 0, 0], spec))
    own_swings = swings[first_input : first_input + kernel.shape[0]]
    return Picture(unit, *_montage(kernel, own_swings, first_input, spec))


def diverging(weights: Weights, limit: float) -> Pixels:
    """Signed weights (...) as colours (..., 3): -limit blue, 0 white, +limit orange."""
    share = np.clip(weights / limit if limit else weights * 0, -1, 1)[..., None]
    ends = np.where(share < 0, NEGATIVE, POSITIVE)
    return np.rint(NEUTRAL + np.abs(share) * (ends - NEUTRAL)).astype(np.uint8)


def _rgb(kernel: Weights, spec: FilterSpec) -> tuple[Pixels, FilterRecord]:
    low, high = float(kernel.min()), float(kernel.max())
    share = (kernel - low) / max(high - low, 1e-12)  # (3, kh, kw)
    pixels = np.rint(share.transpose(1, 2, 0) * 255).astype(np.uint8)
    record = FilterRecord("rgb", low=_rounded(low), high=_rounded(high))
    return _enlarge(pixels, spec.size_px), record


def _montage(
    kernel: Weights, swings: Weights, first_input: int, spec: FilterSpec
) -> tuple[Pixels, FilterRecord]:
    """A montage of the strongest slices; `first_input` is the kernel's first input channel."""
    norms = np.sqrt((kernel**2).sum(axis=(1, 2)))
    inputs = np.argsort(-norms * np.abs(swings), kind="stable")[: spec.n_slices]
    limit = float(np.abs(kernel).max())
    height, width = kernel.shape[1:]
    montage = Montage.of((height, width), len(inputs), spec.size_px)
    tiles = diverging(kernel[inputs], limit)  # (n, kh, kw, 3)
    tiles = tiles.repeat(montage.factor, axis=1).repeat(montage.factor, axis=2)
    rows = math.ceil(len(inputs) / montage.columns)
    last_x, last_y = montage.corner_px(rows * montage.columns - 1)
    canvas = np.tile(GAP, (last_y + tiles.shape[1], last_x + tiles.shape[2], 1))
    for position, tile in enumerate(tiles):
        x, y = montage.corner_px(position)
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return canvas, FilterRecord(
        "montage",
        low=_rounded(-limit),
        high=_rounded(limit),
        columns=montage.columns,
        factor=montage.factor,
        inputs=(inputs + first_input).tolist(),
    )


def _bars(weights: Weights, spec: FilterSpec) -> tuple[Pixels, FilterRecord]:
    """Weights sorted from highest to lowest, each pixel column one bar from the zero line."""
    ordered = np.sort(weights)[::-1]
    limit = float(np.abs(weights).max())
    width = spec.size_px
    height = spec.size_px // 2
    # The columns sample the sorted weights evenly, including the first and the last.
    columns = ordered[np.rint(np.linspace(0, len(ordered) - 1, width)).astype(int)]
    zero = (height - 1) / 2
    tips = zero - (columns / limit if limit else columns * 0) * zero  # (width,)
    rows = np.arange(height)[:, None]
    inside = (
        (columns != 0)
        & (rows >= np.minimum(tips, zero) - 0.5)
        & (rows <= np.maximum(tips, zero) + 0.5)
    )
    colours = np.where(columns[:, None] < 0, NEGATIVE, POSITIVE).astype(np.uint8)  # (width, 3)
    canvas = np.where(inside[..., None], colours[None], NEUTRAL.astype(np.uint8))
    canvas[round(zero)] = np.minimum(canvas[round(zero)], GAP)
    low, high = _rounded(ordered[-1]), _rounded(ordered[0])
    return canvas, FilterRecord("bars", low=low, high=high, n_inputs=len(weights))


def _enlarge(pixels: Pixels, size_px: int) -> Pixels:
    factor = max(1, round(size_px / max(pixels.shape[:2])))
    size = (pixels.shape[1] * factor, pixels.shape[0] * factor)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def _rounded(value: float) -> float:
    return float(f"{float(value):.4g}")
