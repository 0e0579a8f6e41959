"""The axis of evidence: a unit's responses to pictures, photographs and noise on one scale.

A response to a synthetic picture means little by itself. The axis compares it with the unit's other
responses. Kinds of artifacts declare how they appear on the axis in `Kind.evidence`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from atlas.kinds.kind import Evidence as EvidenceSource
from atlas.kinds.kind import EvidenceRow, Kind, WholeLayer
from atlas.lazily import load
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Fact
from atlas.units import Layer, Unit
from atlas.vocabulary import Score, score_of, words_of

Interval = tuple[float, float]
MARGIN_PERCENT = 3.0  # of the axis, left free on both sides for the width of marks
LEAST_PERCENT = 0.8  # of the axis: narrower bands are widened to this to be visible


class Mark(NamedTuple):
    """A point or a band on the axis; positions are percents of its width."""

    style: str  # class of the style sheet
    left: str
    width: str | None  # None: a point


class Tick(NamedTuple):
    """A labelled position on the axis."""

    at: str  # in percent of the axis
    text: str


class Answer(NamedTuple):
    """A line of the list below the axis: what the unit was shown, and its response."""

    style: str  # of its mark on the axis
    fact: Fact


class EvidenceView(NamedTuple):
    """The axis of one unit and the list below it."""

    ticks: tuple[Tick, ...]
    zero: str  # position of 0 on the axis, in percent
    marks: tuple[Mark, ...]
    answers: tuple[Answer, ...]  # in the order of their rows, from high responses to low
    words: str
    best: str | None  # file name of the photograph that drives the unit most


def evidence_view(contents: Contents, layer: Layer, unit: Unit) -> EvidenceView | None:
    """The axis of a unit, None if fewer than two responses are known."""
    score = score_of(layer)
    intervals = _intervals(contents, unit)
    if len(intervals) < 2:
        return None
    all_ends = [0.0, *(end for _, ends in intervals for end in ends)]
    axis = _Axis(min(all_ends), max(all_ends))
    return EvidenceView(
        ticks=axis.ticks(score.suffix),
        zero=axis.percent(0.0),
        marks=tuple(axis.mark(source, ends) for source, ends in intervals),
        answers=tuple(_answers(intervals, score)),
        words=score.words,
        best=_best(contents, unit),
    )


def comparison(contents: Contents, layer: Layer) -> str | None:
    """The median response of a layer's pictured units to each source, in a sentence."""
    score, units = score_of(layer), contents.pictured(layer)
    sources = [(kind, source) for kind, source in contents.evidence if source.median]
    sources.sort(key=lambda each: each[1].median_order)
    parts = []
    for kind, source in sources:
        ends = (_ends(contents, unit, kind) for unit in units)
        peaks = [each[1] for each in ends if each]
        if peaks:
            words = load(source.median)(contents, layer)
            median = wording.response(score, statistics.median(peaks), 1)
            parts.append(f"{median} on {words}")
    if len(parts) < 2:
        return None
    return f"Median {score.noun} of the {words_of(layer).plural}: {', '.join(parts)}."


def margin(contents: Contents, unit: Unit) -> float | None:
    """How far a unit's picture drives it beyond all photographs and noise.

    None if it has no picture, or neither of them was measured.
    """
    record = contents.excitatory(unit)
    measured = (kind for kind, _ in contents.evidence if isinstance(kind.scope, WholeLayer))
    ends = [_ends(contents, unit, kind) for kind in measured]
    highest = max((each[1] for each in ends if each), default=None)
    if record is None or record.peak is None or highest is None:
        return None
    return record.peak - highest


def _ends(contents: Contents, unit: Unit, kind: Kind[Any]) -> Interval | None:
    """A unit's lowest and highest response to a kind of artifact, None if not measured."""
    record = _record(contents, unit, kind)
    low, high = record.ends(unit.index) if record else (None, None)
    return None if low is None or high is None else (low, high)


def _record(contents: Contents, unit: Unit, kind: Kind[Any]) -> Any:
    """The record of a unit, or of its whole layer if the kind is measured on layers."""
    if isinstance(kind.scope, WholeLayer):
        unit = contents.facts.layer(unit.layer).whole
    return contents.record(unit, kind)


def _intervals(contents: Contents, unit: Unit) -> list[tuple[EvidenceSource, Interval]]:
    """The measured sources, each with the unit's lowest and highest response, in drawing order."""
    ends_of = ((source, _ends(contents, unit, kind)) for kind, source in contents.evidence)
    return [(source, ends) for source, ends in ends_of if ends]


def _best(contents: Contents, unit: Unit) -> str | None:
    """File name of the photograph that drives a unit most."""
    for kind, _ in contents.evidence:
        if hasattr(kind.record, "best") and (record := _record(contents, unit, kind)):
            best: str | None = record.best(unit.index)
            return best
    return None


def _answers(
    intervals: Sequence[tuple[EvidenceSource, Interval]], score: Score
) -> Iterator[Answer]:
    rows = [(row, source, ends) for source, ends in intervals for row in source.rows]
    for row, source, ends in sorted(rows, key=lambda each: each[0].order):
        yield Answer(source.style, Fact(row.term, _spell(row, ends, score), about=row.about))


def _spell(row: EvidenceRow, ends: Interval, score: Score) -> str:
    low, high = ends
    if row.end == "range" and low != high:
        return f"{wording.signed(low)} to {wording.response(score, high)}"
    return wording.response(score, low if row.end == "low" else high)


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float

    def mark(self, source: EvidenceSource, ends: Interval) -> Mark:
        if source.is_point:
            return Mark(source.style, self.percent(ends[0]), None)
        low, high = (self._place(end) for end in ends)
        missing = max(0.0, LEAST_PERCENT - (high - low))
        return Mark(source.style, f"{low - missing / 2:.1f}", f"{high - low + missing:.1f}")

    def ticks(self, unit: str) -> tuple[Tick, ...]:
        """About five round numbers; the highest is followed by the unit of measurement."""
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
