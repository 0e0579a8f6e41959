"""What a unit is: pictures of its own weights.

A conv over the image is shown in colour, as the tutorial does. Larger kernels over features are
shown as a montage of the strongest input slices, 1x1 kernels and class weights as sorted bars.
Both are signed: orange adds, blue takes away, white is nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from atlas.pictures.picture import Picture
from atlas.spec import FilterImage
from atlas.units import Layer, Unit

Pixels = NDArray[np.uint8]
Weights = NDArray[np.float32]

# Ends of the diverging scale, chosen to stay apart for colour-blind readers.
POSITIVE = np.array([214, 92, 20], dtype=np.float32)
NEGATIVE = np.array([28, 96, 180], dtype=np.float32)
NEUTRAL = np.array([255, 255, 255], dtype=np.float32)
GAP = np.array([232, 232, 232], dtype=np.uint8)
N_NAMED = 6  # strongest inputs named beside a picture, per sign


def filter_pictures(
    layer: Layer, weights: Weights, units: Sequence[Unit], spec: FilterImage
) -> list[Picture]:
    """Pictures of the weights of some units of a layer.

    Args:
        layer: the units' layer.
        weights: of the whole layer, (n_units, in_channels / groups, kh, kw).
        units: of that layer.
        spec: sizes.
    """
    return [filter_picture(layer, weights[unit.index], unit, spec) for unit in units]


def filter_picture(layer: Layer, kernel: Weights, unit: Unit, spec: FilterImage) -> Picture:
    """The picture of one unit's kernel, (in_channels / groups, kh, kw)."""
    if layer.index == 0 and kernel.shape[0] == 3:
        pixels, numbers = _rgb(kernel, spec)
    elif kernel.shape[1:] == (1, 1):
        pixels, numbers = _bars(kernel[:, 0, 0], spec)
    else:
        pixels, numbers = _montage(kernel, spec)
    first_input = unit.index // (layer.n_units // layer.groups) * kernel.shape[0]
    return Picture(unit, pixels, _shift_inputs(numbers, first_input))


def diverging(weights: Weights, limit: float) -> Pixels:
    """Signed weights (...) as colours (..., 3): -limit blue, 0 white, +limit orange."""
    share = np.clip(weights / limit if limit else weights * 0, -1, 1)[..., None]
    ends = np.where(share < 0, NEGATIVE, POSITIVE)
    return np.rint(NEUTRAL + np.abs(share) * (ends - NEUTRAL)).astype(np.uint8)


def _rgb(kernel: Weights, spec: FilterImage) -> tuple[Pixels, dict[str, Any]]:
    low, high = float(kernel.min()), float(kernel.max())
    share = (kernel - low) / max(high - low, 1e-12)  # (3, kh, kw)
    pixels = np.rint(share.transpose(1, 2, 0) * 255).astype(np.uint8)
    numbers = {"style": "rgb", "low": _rounded(low), "high": _rounded(high)}
    return _enlarge(pixels, spec.size_px), numbers


def _montage(kernel: Weights, spec: FilterImage) -> tuple[Pixels, dict[str, Any]]:
    norms = np.sqrt((kernel**2).sum(axis=(1, 2)))
    inputs = np.argsort(-norms, kind="stable")[: spec.n_slices]
    columns = math.ceil(math.sqrt(len(inputs)))
    limit = float(np.abs(kernel).max())
    height, width = kernel.shape[1:]
    tiles = diverging(kernel[inputs], limit)  # (n, kh, kw, 3)
    factor = max(1, spec.size_px // (columns * width))
    tiles = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
    gap = max(1, factor // 4)
    rows = math.ceil(len(inputs) / columns)
    pitch_y, pitch_x = height * factor + gap, width * factor + gap
    canvas = np.tile(GAP, (rows * pitch_y - gap, columns * pitch_x - gap, 1))
    for position, tile in enumerate(tiles):
        y, x = position // columns * pitch_y, position % columns * pitch_x
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    sums = kernel.sum(axis=(1, 2))
    numbers = {
        "style": "montage",
        "low": _rounded(-limit),
        "high": _rounded(limit),
        "columns": columns,
        "inputs": inputs.tolist(),
        **_named(sums),
    }
    return canvas, numbers


def _bars(weights: Weights, spec: FilterImage) -> tuple[Pixels, dict[str, Any]]:
    """Weights from most to least, each column one bar from the zero line."""
    ordered = np.sort(weights)[::-1]
    limit = float(np.abs(weights).max())
    width = spec.size_px
    height = spec.size_px // 2
    # Every column shows the weight at its place in the order, the two ends included.
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
    numbers = {
        "style": "bars",
        "low": _rounded(ordered[-1]),
        "high": _rounded(ordered[0]),
        "n_inputs": len(weights),
        **_named(weights),
    }
    return canvas, numbers


def _named(weights: Weights) -> dict[str, Any]:
    """The inputs with the largest weights of each sign, strongest first."""
    order = np.argsort(-weights, kind="stable")
    positive = [int(index) for index in order[:N_NAMED] if weights[index] > 0]
    negative = [int(index) for index in order[::-1][:N_NAMED] if weights[index] < 0]
    return {
        "positive": [[index, _rounded(weights[index])] for index in positive],
        "negative": [[index, _rounded(weights[index])] for index in negative],
    }


def _shift_inputs(numbers: dict[str, Any], first: int) -> dict[str, Any]:
    """In a grouped conv, input numbers count from the group's first channel."""
    if not first:
        return numbers
    shifted = dict(numbers)
    if "inputs" in numbers:
        shifted["inputs"] = [index + first for index in numbers["inputs"]]
    for sign in ("positive", "negative"):
        if sign in numbers:
            shifted[sign] = [[index + first, weight] for index, weight in numbers[sign]]
    return shifted


def _enlarge(pixels: Pixels, size_px: int) -> Pixels:
    factor = max(1, round(size_px / max(pixels.shape[:2])))
    size = (pixels.shape[1] * factor, pixels.shape[0] * factor)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def _rounded(value: float) -> float:
    return float(f"{float(value):.4g}")
