"""How far a unit was driven, and by what: its picture against noise and photographs.

A picture shows nothing by itself. Drawn on one scale with what else the unit answers to, it shows
at least how much further it goes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from atlas.site import wording
from atlas.site.views import Contents, Fact
from atlas.units import Layer, ScoreName, Unit

Numbers = Mapping[str, Any]
Interval = tuple[float, float]
MARGIN_PERCENT = 3.0  # of the axis, on both sides: marks have a width
LEAST_PERCENT = 0.8  # of the axis: a narrower band is not seen


@dataclass(frozen=True)
class Scale:
    """What a layer's answers are counted in."""

    name: ScoreName
    unit: str  # as it follows a number
    noun: str
    words: str

    def high(self, numbers: Numbers) -> float | None:
        """The answer at the strongest position."""
        return self._number(numbers, "max")

    def low(self, numbers: Numbers) -> float | None:
        """The answer at the weakest position."""
        return self._number(numbers, "min")

    def spell(self, value: float, digits: int = 2) -> str:
        """`+6.89 σ`."""
        return f"{wording.signed(value, digits)}{self.unit}"

    def _number(self, numbers: Numbers, end: str) -> float | None:
        """A class has one position, so one number for both ends."""
        value: float | None = numbers.get(f"{self.name}_{end}", numbers.get(self.name))
        return value


SIGMAS = Scale(
    "z",
    wording.SIGMA,
    "peak",
    "σ from the unit’s average, at the strongest or weakest position.",
)
ACTIVATIONS = Scale("mean", "", "peak", "Activations at the strongest or weakest position.")
LOGITS = Scale("logit", "", "logit", "Logits of this class.")
SCALES = {scale.name: scale for scale in (SIGMAS, ACTIVATIONS, LOGITS)}


class Mark(NamedTuple):
    """Something on the axis; places are percents of its width."""

    style: str  # class of the style sheet
    left: str
    width: str | None  # None: a point


class Tick(NamedTuple):
    """A number of the axis."""

    at: str
    text: str


class Answer(NamedTuple):
    """A line of the list: what the unit was shown, and what it answered."""

    style: str  # of its mark on the axis
    fact: Fact


class Evidence(NamedTuple):
    """What there is to hold a unit's picture against."""

    ticks: tuple[Tick, ...]
    zero: str  # where it is on the axis, in percent
    marks: tuple[Mark, ...]
    answers: tuple[Answer, ...]  # from the highest source down
    words: str
    best: str | None  # file name of the photograph


def scale_of(layer: Layer) -> Scale:
    """What a layer's answers are counted in."""
    return SCALES[layer.score_name]


def evidence_of(contents: Contents, layer: Layer, unit: Unit) -> Evidence | None:
    """What a unit answers to pictures, noise and photographs; None where there is one of them."""
    scale = scale_of(layer)
    known = _known(contents, unit, scale)
    if len(known) < 2:
        return None
    ends = [0.0, *(end for interval in known.values() for end in interval)]
    axis = _Axis(min(ends), max(ends))
    return Evidence(
        ticks=axis.ticks(scale.unit),
        zero=axis.percent(0.0),
        marks=tuple(axis.mark(style, interval) for style, interval in known.items()),
        answers=tuple(_answers(known, scale)),
        words=scale.words,
        best=contents.panel(unit, "natural").get("highest"),
    )


def comparison(contents: Contents, layer: Layer) -> str | None:
    """What drives a layer's units how far, as the medians of those that have a picture."""
    scale = scale_of(layer)
    pictured = [
        (unit, entry.numbers)
        for unit in (layer.unit(index) for index in contents.paged[layer.name])
        if (entry := contents.entry(unit, "excitatory"))
    ]
    units = [unit for unit, _ in pictured]
    found = (
        _median("their own pictures", scale, [numbers for _, numbers in pictured]),
        _median("plain noise", scale, [contents.panel(unit, "noise") for unit in units]),
        _median(
            f"the best of {n_photographs(contents, layer)}",
            scale,
            [contents.panel(unit, "natural") for unit in units],
        ),
    )
    parts = [part for part in found if part]
    if len(parts) < 2:
        return None
    whose = "classes" if layer.kind == "classifier" else "units"
    return f"Median {scale.noun} of the {whose}: {', '.join(parts)}."


def n_photographs(contents: Contents, layer: Layer) -> str:
    """`1,000 photographs`."""
    entry = contents.entry(layer.whole, "natural")
    return wording.count(entry.numbers["n_images"] if entry else 0, "photograph")


def _median(words: str, scale: Scale, numbers: Sequence[Numbers]) -> str | None:
    peaks = [peak for peak in map(scale.high, numbers) if peak is not None]
    return f"{scale.spell(statistics.median(peaks), 1)} on {words}" if peaks else None


def _known(contents: Contents, unit: Unit, scale: Scale) -> dict[str, Interval]:
    """From where to where each source drives a unit, by style; wide bands first."""
    excitatory, inhibitory = (
        entry.numbers if (entry := contents.entry(unit, kind)) else {}
        for kind in ("excitatory", "inhibitory")
    )
    noise, photographs = contents.panel(unit, "noise"), contents.panel(unit, "natural")
    ends = {
        "noise": (scale.low(noise), scale.high(noise)),
        "photos": (scale.low(photographs), scale.high(photographs)),
        "down": (scale.low(inhibitory),) * 2,
        "up": (scale.high(excitatory),) * 2,
    }
    return {
        style: (low, high)
        for style, (low, high) in ends.items()
        if low is not None and high is not None
    }


def _answers(known: Mapping[str, Interval], scale: Scale) -> Iterator[Answer]:
    rows: tuple[tuple[str, str, str | None, Callable[[Interval], str]], ...] = (
        ("up", "Excitatory picture", "excitatory", lambda ends: scale.spell(ends[1])),
        ("photos", "Best photograph", "natural", lambda ends: scale.spell(ends[1])),
        ("noise", "Plain noise", "noise", lambda ends: _spell_range(ends, scale)),
        ("photos", "Lowest photograph", None, lambda ends: scale.spell(ends[0])),
        ("down", "Inhibitory picture", "inhibitory", lambda ends: scale.spell(ends[0])),
    )
    for style, term, about, spell in rows:
        if style in known:
            yield Answer(style, Fact(term, spell(known[style]), about=about))


def _spell_range(ends: Interval, scale: Scale) -> str:
    low, high = ends
    return scale.spell(low) if low == high else f"{wording.signed(low)} to {scale.spell(high)}"


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float

    def mark(self, style: str, ends: Interval) -> Mark:
        if style in ("up", "down"):
            return Mark(style, self.percent(ends[0]), None)
        low, high = (self._place(end) for end in ends)
        missing = max(0.0, LEAST_PERCENT - (high - low))
        return Mark(style, f"{low - missing / 2:.1f}", f"{high - low + missing:.1f}")

    def ticks(self, unit: str) -> tuple[Tick, ...]:
        """Round numbers, about five of them; the highest names the unit."""
        rough = max(self.high - self.low, 1e-6) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        counts = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return tuple(
            Tick(
                self.percent(count * step),
                wording.round_number(count * step) + (unit if count == counts[-1] else ""),
            )
            for count in counts
        )

    def percent(self, value: float) -> str:
        return f"{self._place(value):.1f}"

    def _place(self, value: float) -> float:
        span = max(self.high - self.low, 1e-6)
        return MARGIN_PERCENT + (100 - 2 * MARGIN_PERCENT) * (value - self.low) / span
