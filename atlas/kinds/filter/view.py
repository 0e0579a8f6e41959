"""The weights of one unit: their picture and its legend."""

from __future__ import annotations

from typing import NamedTuple

from atlas.kinds.filter import KIND, FilterRecord
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Crop, Link, crop_of, layer_link
from atlas.units import Layer, Unit


class FilterView(NamedTuple):
    """The picture of a unit's weights and its legend."""

    crop: Crop
    caption: str
    low: str | None  # ends of the colour scale, where colours stand for numbers
    high: str | None
    reads: Link | None


def section_view(contents: Contents, layer: Layer, unit: Unit) -> FilterView | None:
    """The picture of a unit's weights, None if it was not made."""
    record = contents.record(unit, KIND)
    sprite = contents.sprite(layer, unit.index, KIND)
    if record is None or sprite is None:
        return None
    is_montage = record.style == "montage"
    low, high = (
        None if end is None or not is_montage else wording.weight(end)
        for end in (record.low, record.high)
    )
    return FilterView(
        crop=crop_of(sprite, f"Filter weights of {unit.id}", is_whole=True),
        caption=_caption(layer, record),
        low=low if high else None,
        high=high if low else None,
        reads=layer_link(layer.reads, "../") if layer.reads else None,
    )


def _caption(layer: Layer, record: FilterRecord) -> str:
    kernel = wording.pair(layer.kernel)
    n_inputs = layer.in_channels // layer.groups
    low, high = (wording.weight(end or 0.0) for end in (record.low, record.high))
    if record.style == "rgb":
        return f"The {kernel} kernel in the colours it weighs; black is {low}, white {high}."
    if record.style == "bars":
        if n_inputs == 1:
            return f"The weight of its one input: {high}."
        return f"The weights of all {wording.count(n_inputs)} inputs, sorted, {high} to {low}."
    if n_inputs == 1:
        return f"The {kernel} kernel for its one input channel."
    n_shown = len(record.inputs)
    if 0 < n_shown < n_inputs:
        return f"The {n_shown} strongest of {wording.count(n_inputs)} slices, {kernel} each."
    return f"All {wording.count(n_inputs)} slices of the kernel, {kernel} each."
