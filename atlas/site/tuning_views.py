"""A unit's tuning: four curves on one scale, and what it prefers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from atlas.site import wording
from atlas.site.evidence import Scale, scale_of
from atlas.site.views import Contents
from atlas.spec import SELECTIVE
from atlas.units import Layer, Unit

WIDTH, HEIGHT = 120, 40  # of a plot, in its own units

Numbers = Mapping[str, Any]


class Curve(NamedTuple):
    """One plot."""

    name: str
    style: str  # class of the style sheet, or empty
    points: str  # as SVG wants them
    first: str  # what the ends of the axis stand for
    last: str
    preferred: str


class Tuning(NamedTuple):
    """All plots of a unit; they share one vertical scale."""

    curves: tuple[Curve, ...]
    blank: str  # height of the answer to the bare background
    words: str


def tuning_of(contents: Contents, layer: Layer, unit: Unit) -> Tuning | None:
    """What gratings, colours and rings drive a unit to; None where they were not shown."""
    numbers = contents.panel(unit, "tuning")
    if "orientation" not in numbers:
        return None
    axes = contents.panel_facts(layer, "tuning")
    curves = [numbers[name] for name in ("orientation", "period", "hue", "ring")]
    ends = [numbers["blank"], *(value for curve in curves for value in curve)]
    low, high = min(ends), max(ends)
    heights = _Heights(low, high)
    return Tuning(
        curves=(
            Curve(
                "Orientation",
                "",
                heights.points([*numbers["orientation"], numbers["orientation"][0]]),
                "0°",
                "180°",
                _angle(numbers, "orientation"),
            ),
            Curve(
                "Period",
                "",
                heights.points(numbers["period"]),
                *_ends(axes["periods_px"]),
                _length(numbers["period_px"]),
            ),
            Curve(
                "Hue",
                "hues",
                heights.points([*numbers["hue"], numbers["hue"][0]]),
                "0°",
                "360°",
                _angle(numbers, "hue"),
            ),
            Curve(
                "Ring radius",
                "",
                heights.points(numbers["ring"]),
                *_ends(axes["radii_px"]),
                _length(numbers["ring_px"]),
            ),
        ),
        blank=heights.of(numbers["blank"]),
        words=_words(scale_of(layer), low, high),
    )


class _Heights:
    """Answers as heights in a plot, which SVG counts from the top."""

    def __init__(self, low: float, high: float) -> None:
        self._high, self._span = high, (high - low) or 1.0

    def of(self, value: float) -> str:
        return str(round(2 + (HEIGHT - 4) * (self._high - value) / self._span))

    def points(self, values: Sequence[float]) -> str:
        step = WIDTH / (len(values) - 1) if len(values) > 1 else 0
        return " ".join(f"{round(nth * step)},{self.of(each)}" for nth, each in enumerate(values))


def _angle(numbers: Numbers, name: str) -> str:
    """`32°, selectivity 0.71`."""
    angle_deg = numbers[f"{name}_deg"]
    if angle_deg is None:
        return "no answer"
    selectivity = numbers[f"{name}_selectivity"]
    angle = f"{angle_deg:.0f}°" if selectivity >= SELECTIVE else "any"
    return f"{angle}, selectivity {wording.plain(selectivity)}"


def _length(size_px: float | None) -> str:
    return "no answer" if size_px is None else f"{size_px:g} px"


def _ends(sizes_px: Sequence[float]) -> tuple[str, str]:
    return f"{sizes_px[0]:g}", f"{sizes_px[-1]:g} px"


def _words(scale: Scale, low: float, high: float) -> str:
    """What the plots have in common."""
    return (
        f"all from {wording.signed(low, 1)} to {scale.spell(high, 1)}; dotted: the bare background."
    )
