"""Words for what was measured of a unit: what it is tuned to, and which classes it speaks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from atlas.kinds.tuning import TuningRecord

LEAST_RESPONSE = 1.0  # of a stimulus above the bare background, in sigmas, to be worth a word
LEAST_SELECTIVITY = 0.3  # for an orientation or a hue, to be worth a word
# By angles of 30 degrees, as the stimuli have them.
HUES = (
    ("red",),
    ("orange",),
    ("yellow",),
    ("lime", "green"),
    ("green",),
    ("sea green", "green", "turquoise"),
    ("cyan", "turquoise"),
    ("azure", "blue"),
    ("blue",),
    ("violet", "purple"),
    ("magenta", "pink"),
    ("rose", "pink"),
)
# By angles of 45 degrees, anticlockwise from horizontal.
STRIPES = (
    ("horizontal stripes", "lines", "edges"),
    ("rising diagonals", "diagonal stripes", "lines", "edges"),
    ("vertical stripes", "lines", "edges"),
    ("falling diagonals", "diagonal stripes", "lines", "edges"),
)
RINGS = ("rings", "circles", "round")


class Preference(NamedTuple):
    """A kind of stimulus that a unit prefers."""

    words: tuple[str, ...]  # its name, and other words for it
    phrase: str  # with its numbers, as a sentence has it


def preferences(record: TuningRecord, index: int) -> tuple[Preference, ...]:
    """What a unit prefers among stripes, rings and hues, as far as it is clear."""
    return tuple(_preferences(record, index))


def _preferences(record: TuningRecord, index: int) -> Iterator[Preference]:
    stripes = _above(record, index, record.period[index])
    rings = _above(record, index, record.ring[index])
    if max(stripes, rings) >= LEAST_RESPONSE:
        if rings > stripes:
            yield _ring(record, index)
        else:
            yield from _stripes(record, index)
    hue, selectivity = record.hue_deg[index], record.hue_selectivity[index]
    if _above(record, index, record.hue[index]) >= LEAST_RESPONSE and _is_clear(selectivity):
        words = HUES[_nearest(hue, 30, len(HUES))]
        yield Preference(words, words[0])


def _stripes(record: TuningRecord, index: int) -> Iterator[Preference]:
    angle_deg, selectivity = record.orientation_deg[index], record.orientation_selectivity[index]
    if angle_deg is None or not _is_clear(selectivity):
        return
    period_px = record.period_px[index]
    period = "" if period_px is None else f", period {period_px:g}\N{NO-BREAK SPACE}px"
    words = STRIPES[_nearest(angle_deg, 45, len(STRIPES))]
    yield Preference(words, f"stripes near {angle_deg:.0f}°{period}")


def _ring(record: TuningRecord, index: int) -> Preference:
    radius_px = record.ring_px[index]
    radius = "" if radius_px is None else f" of radius {radius_px:g}\N{NO-BREAK SPACE}px"
    return Preference(RINGS, f"rings{radius}")


def _above(record: TuningRecord, index: int, responses: Sequence[float]) -> float:
    """How far the best of some stimuli drives a unit above the bare background."""
    return max(responses, default=record.blank[index]) - record.blank[index]


def _is_clear(selectivity: float | None) -> bool:
    return selectivity is not None and selectivity >= LEAST_SELECTIVITY


def _nearest(angle_deg: float | None, step_deg: int, n: int) -> int:
    return round((angle_deg or 0) / step_deg) % n
