"""The weights of one unit: their picture and its legend."""

from __future__ import annotations

from typing import Any, NamedTuple

from atlas.site import wording
from atlas.site.views import Contents, Crop, Link, crop_of, layer_link
from atlas.units import Layer, Unit


class Filter(NamedTuple):
    """The picture of a unit's weights and its legend."""

    crop: Crop
    caption: str
    low: str | None  # ends of the colour scale, where colours stand for numbers
    high: str | None
    reads: Link | None


def filter_view(contents: Contents, layer: Layer, unit: Unit) -> Filter | None:
    """What there is to see of a unit's weights."""
    entry = contents.entry(unit, "filter")
    sprite = contents.sprite(layer, unit.index, "filter")
    if entry is None or sprite is None:
        return None
    numbers = entry.numbers
    montage = numbers.get("style") == "montage"
    coloured = montage and "low" in numbers and "high" in numbers
    return Filter(
        crop=crop_of(sprite, f"Filter weights of {unit.id}"),
        caption=_caption(layer, numbers),
        low=wording.weight(numbers["low"]) if coloured else None,
        high=wording.weight(numbers["high"]) if coloured else None,
        reads=layer_link(layer.reads, "../") if layer.reads else None,
    )


def _caption(layer: Layer, numbers: dict[str, Any]) -> str:
    kernel, style = wording.pair(layer.kernel), numbers.get("style")
    n_inputs = layer.in_channels // layer.groups
    low, high = (wording.weight(numbers.get(end, 0.0)) for end in ("low", "high"))
    if style == "rgb":
        return f"The {kernel} kernel in the colours it weighs; black is {low}, white {high}."
    if style == "bars":
        return f"The weights of all {wording.count(n_inputs)} inputs, sorted, {high} to {low}."
    n_shown = len(numbers.get("inputs", ()))
    if 0 < n_shown < n_inputs:
        return f"The {n_shown} strongest of {wording.count(n_inputs)} slices, {kernel} each."
    return f"All {kernel} slices of the kernel."
