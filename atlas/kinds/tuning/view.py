"""The tuning curves of a unit on one scale, and the stimuli that it prefers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from atlas.kinds.kind import SELECTIVE
from atlas.kinds.tuning import KIND
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.units import Layer, Unit
from atlas.vocabulary import Score, score_of

NO_RESPONSE = "no response to any"
WIDTH, HEIGHT = 120, 40  # of a plot, in its own units


class Curve(NamedTuple):
    """One plot."""

    name: str
    style: str  # class of the style sheet, or empty
    points: str  # as text for SVG
    first: str  # label of the left end of the axis
    last: str  # label of the right end
    preferred: str


class TuningView(NamedTuple):
    """All plots of a unit; they share one vertical scale."""

    curves: tuple[Curve, ...]
    blank: str  # vertical position of the response to the bare background
    range: str  # of all plots: "−0.1 to +3.2 σ"
    words: str


def section_view(contents: Contents, layer: Layer, unit: Unit) -> TuningView | None:
    """A unit's responses to gratings, colours and rings, None if it was not shown any."""
    record = contents.layer_record(layer, KIND)
    if record is None:
        return None
    index = unit.index
    orientation, period = record.orientation[index], record.period[index]
    hue, ring, blank = record.hue[index], record.ring[index], record.blank[index]
    responses = [blank, *orientation, *period, *hue, *ring]
    low, high = min(responses), max(responses)
    heights = _Heights(low, high)
    span = _span(score_of(layer), low, high)
    return TuningView(
        curves=(
            Curve(
                "Orientation",
                "",
                heights.points([*orientation, orientation[0]]),
                "0°",
                "180°",
                _angle(record.orientation_deg[index], record.orientation_selectivity[index]),
            ),
            Curve(
                "Period",
                "",
                heights.points(period),
                *_ends(record.periods_px),
                _length(record.period_px[index]),
            ),
            Curve(
                "Hue",
                "hues",
                heights.points([*hue, hue[0]]),
                "0°",
                "360°",
                _angle(record.hue_deg[index], record.hue_selectivity[index]),
            ),
            Curve(
                "Ring radius",
                "",
                heights.points(ring),
                *_ends(record.radii_px),
                _length(record.ring_px[index]),
            ),
        ),
        blank=heights.of(blank),
        range=span,
        words=f"each goes from {span}; the dotted line is the bare background.",
    )


class _Heights:
    """Responses as vertical positions in a plot, which SVG counts from the top."""

    def __init__(self, low: float, high: float) -> None:
        self._high, self._span = high, (high - low) or 1.0

    def of(self, value: float) -> str:
        return str(round(2 + (HEIGHT - 4) * (self._high - value) / self._span))

    def points(self, values: Sequence[float]) -> str:
        step = WIDTH / (len(values) - 1) if len(values) > 1 else 0
        return " ".join(f"{round(nth * step)},{self.of(each)}" for nth, each in enumerate(values))


def _angle(angle_deg: float | None, selectivity: float | None) -> str:
    """`32°, selectivity 0.71`."""
    if angle_deg is None or selectivity is None:
        return NO_RESPONSE
    angle = f"{angle_deg:.0f}°" if selectivity >= SELECTIVE else "no preference"
    return f"{angle}, selectivity {wording.plain(selectivity)}"


def _length(size_px: float | None) -> str:
    return NO_RESPONSE if size_px is None else f"{size_px:g} px"


def _ends(sizes_px: Sequence[float]) -> tuple[str, str]:
    return f"{sizes_px[0]:g}", f"{sizes_px[-1]:g} px"


def _span(score: Score, low: float, high: float) -> str:
    """The range that all plots of a unit have in common."""
    return f"{wording.signed(low, 1)} to {wording.response(score, high, 1)}"


def stimuli_shown(contents: Contents) -> dict[str, Any] | None:
    """The stimuli that all units were shown, for the page that draws them; None without any.

    Angles are given by the distance between neighbours, sizes as lists, and the bare background as
    its colour in 0..1.
    """
    layers = contents.facts.layers
    records = (contents.layer_record(layer, KIND) for layer in layers)
    record = next((record for record in records if record), None)
    if record is None:
        return None
    mean = contents.facts.preprocessing.mean
    background = mean[:3] if len(mean) >= 3 else mean[:1] * 3
    return {
        "size_px": contents.facts.input_size_px,
        "background": background,
        "orientation_step": 180 / len(record.orientations_deg),
        "hue_step": 360 / len(record.hues_deg),
        "periods_px": record.periods_px,
        "radii_px": record.radii_px,
    }
