"""What the page of comparisons draws of a layer's units: tuning curves and weights.

It is a script that the page loads for each layer in a list, because pages opened from disk may not
fetch JSON. Whole responses are not in it, only what is drawn. The units' numbers are in the script
that layers are sorted by; that is a quarter as large, and loaded with every page of a sorted view.
"""

from __future__ import annotations

from typing import Any

from atlas.canonical import canonical_json
from atlas.kinds.filter.view import FilterView
from atlas.kinds.filter.view import section_view as weights_view
from atlas.kinds.tuning.view import TuningView
from atlas.kinds.tuning.view import section_view as tuning_view
from atlas.site.contents import Contents
from atlas.units import Layer

COMPARED_VARIABLE = "self.atlasUnits"  # by layer, as `static/js/compare.js` reads it


def compared_units(contents: Contents, layer: Layer) -> bytes:
    """The script of one layer; it has the units that have a page."""
    units: dict[str, Any] = {}
    axes: list[dict[str, str]] = []
    for index in contents.paged[layer.name]:
        unit = layer.unit(index)
        tuning = tuning_view(contents, layer, unit)
        weights = weights_view(contents, layer, unit)
        axes = axes or _axes(tuning)
        units[str(index)] = {
            "tuning": _curves(tuning),
            "weights": _weights(weights),
        }
    data = canonical_json({"curves": axes, "units": units})
    name = canonical_json(layer.name)
    return f"({COMPARED_VARIABLE} ??= {{}})[{name}] = {data};\n".encode()


def _axes(tuning: TuningView | None) -> list[dict[str, str]]:
    """What the plots of all units have in common."""
    curves = tuning.curves if tuning else ()
    return [
        {"name": curve.name, "style": curve.style, "first": curve.first, "last": curve.last}
        for curve in curves
    ]


def _curves(tuning: TuningView | None) -> list[Any] | None:
    """The range of all plots, the height of the dotted line, and each plot with its answer."""
    if tuning is None:
        return None
    plots = ([_heights(curve.points), curve.preferred] for curve in tuning.curves)
    return [tuning.range, tuning.blank, *plots]


def _heights(points: str) -> str:
    """The heights of a plot's points, which are evenly spaced."""
    return " ".join(point.partition(",")[2] for point in points.split())


def _weights(weights: FilterView | None) -> list[Any] | None:
    """Where the picture is on which sheet, its caption, and the ends of its scale of colours."""
    if weights is None:
        return None
    crop = weights.crop
    picture = (crop.src, crop.view_box, crop.sheet_px, crop.pixelated)
    return [*picture, weights.caption, weights.low, weights.high]
