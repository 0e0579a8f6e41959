"""The front page of a comparison: rankings of units, and all layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from atlas import paths
from atlas.comparing.compared import (
    MOST,
    Compared,
    PairView,
    answers_words,
    correlation_words,
    kept_words,
    pair_view,
    three,
    unit_link,
)
from atlas.comparing.ranking import LayerChange, Spread, UnitChange
from atlas.site import wording
from atlas.site.parts import Fact, Head, Link

LEAST_END = 0.1  # of an axis, so that a tiny change does not look like a large one


class Band(NamedTuple):
    """Where the middle eight tenths of a layer's units lie on an axis, in percent."""

    left: str
    width: str
    median_left: str
    median: str  # in words


class Listed(NamedTuple):
    """A unit in a short ranking."""

    layer: str
    link: Link
    value: str


class LayerRow(NamedTuple):
    """One layer in the table of all layers."""

    layer: Link
    equal: bool
    partners: str  # how units are paired
    answers: Band | None
    filters: Band | None
    most: Listed | None


class IndexPage(NamedTuple):
    """View of `comparison/index.html`."""

    head: Head
    names: tuple[str, str]
    facts: tuple[Fact, ...]
    findings: tuple[str, ...]
    images: str
    most: tuple[PairView, ...]
    rows: tuple[LayerRow, ...]
    answers_end: str  # of the axes
    filters_end: str
    n_pictured: int  # of each layer at most
    by_answers: tuple[Listed, ...]
    by_filters: tuple[Listed, ...]
    by_pictures: tuple[Listed, ...]


def index_view(compared: Compared) -> IndexPage:
    """The front page of a comparison."""
    ranking, network = compared.ranking, compared.a.facts.name
    changes = ranking.layers
    answers_end = axis_end(change.answers for change in changes)
    filters_end = axis_end(change.filters for change in changes)
    return IndexPage(
        head=Head(
            title=f"{network}: two weight sets compared",
            description=f"Which units differ most between two weight sets of {network}.",
            root="",
            section="network",
        ),
        names=compared.names(),
        facts=_network_facts(compared),
        findings=tuple(_network_findings(compared)),
        images=ranking.images,
        most=tuple(
            pair_view(compared, unit, nth, MOST, root="") for nth, unit in enumerate(compared.most)
        ),
        rows=tuple(_layer_row(compared, change, answers_end, filters_end) for change in changes),
        answers_end=f"{answers_end:g}",
        filters_end=f"{filters_end:g}",
        n_pictured=ranking.n_pictured,
        by_answers=tuple(
            _listed(compared, unit, answers_words(unit)) for unit in compared.most_by_answers
        ),
        by_filters=tuple(
            _listed(compared, unit, three(unit.cosine)) for unit in compared.most_by_filters()
        ),
        by_pictures=tuple(
            _listed(compared, unit, kept_words(unit)) for unit in compared.most_by_pictures()
        ),
    )


def _network_facts(compared: Compared) -> tuple[Fact, ...]:
    a, b = compared.a.facts, compared.b.facts
    return (
        Fact("A", f"{a.weights}, sha256 {a.sha256[:12]}"),
        Fact("B", f"{b.weights}, sha256 {b.sha256[:12]}"),
        Fact("Layers", wording.count(len(compared.ranking.layers))),
        Fact("Units", wording.count(sum(len(each.units) for each in compared.ranking.layers))),
    )


def _network_findings(compared: Compared) -> Iterable[str]:
    """What was found, in sentences."""
    changes = compared.ranking.layers
    equal = [change.layer.name for change in changes if change.is_equal]
    others = [change for change in changes if not change.is_equal]
    if not others:
        yield "Nothing differs: every layer computes the same in both networks."
    elif equal:
        verb, its, them = (
            ("computes", "its", "it") if len(equal) == 1 else ("compute", "their", "them")
        )
        yield (
            f"{wording.count(len(equal), 'layer')} of {len(changes)} {verb} the same in both "
            f"networks, because neither {its} weights nor anything before {them} differs: "
            f"{_spelled(equal)}."
        )
    if pairing := _pairing(others):
        yield pairing
    if compared.most_by_answers:
        first = compared.most_by_answers[0]
        yield (
            f"The unit that differs most is {first.unit.id}: the answers of A and B to the same "
            f"images have {correlation_words(first)}."
        )
    if compared.ranking.classes.words:
        yield f"{compared.ranking.classes.words}."


def _pairing(others: Sequence[LayerChange]) -> str:
    """Whether units that are no classes are compared number by number; empty without any."""
    told = [change for change in others if change.own.n_units and not change.layer.is_classifier]
    unpaired = [change.layer.name for change in told if not change.is_paired]
    n_own = sum(change.own.n_own for change in told)
    n_units = sum(change.own.n_units for change in told)
    found = (
        f"{n_own:,} of {n_units:,} units of A are most like the unit of B with their own number, "
        f"where chance would give about {len(told):,}"
    )
    if not told:
        return ""
    if not unpaired:
        return f"{found}, so units are compared number by number."
    if len(unpaired) == len(told):
        return (
            f"The numbers of units do not correspond: {found}, as in networks that were trained "
            "independently. Each unit of A is compared with the unit of B whose answers are most "
            "like its own."
        )
    return (
        f"{found}. In {len(unpaired)} of {wording.count(len(told), 'layer')} that differ they are "
        "no more than by chance; there each unit of A is compared with the unit of B whose answers "
        f"are most like its own: {_spelled(unpaired)}."
    )


def _spelled(names: Sequence[str]) -> str:
    """A few names, or the first and last of many."""
    return ", ".join(names) if len(names) <= 4 else f"{names[0]} to {names[-1]}"


def _layer_row(
    compared: Compared, change: LayerChange, answers_end: float, filters_end: float
) -> LayerRow:
    first = change.units[0]
    return LayerRow(
        layer=Link(change.layer.name, paths.layer_page(change.layer.name)),
        equal=change.is_equal,
        partners=_partners(change),
        answers=None if change.is_equal else _band(change.answers, answers_end),
        filters=None if change.is_equal else _band(change.filters, filters_end),
        most=_listed(compared, first, answers_words(first)) if first.change > 0 else None,
    )


def _partners(change: LayerChange) -> str:
    if change.is_equal or change.own_share is None:
        return ""
    share = wording.share(change.own_share)
    return share if change.is_paired else f"{share}: by likeness"


def axis_end(spreads: Iterable[Spread | None]) -> float:
    """A round number at which an axis ends that shows all these spreads: 1, 2 or 5 by a power."""
    highest = max((spread.high for spread in spreads if spread), default=0.0)
    highest = max(highest, LEAST_END)
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= highest)


def _band(spread: Spread | None, end: float) -> Band | None:
    if spread is None:
        return None
    low, median, high = (
        100 * min(1.0, value / end) for value in (spread.low, spread.median, spread.high)
    )
    return Band(
        left=f"{low:.1f}",
        width=f"{max(0.5, high - low):.1f}",
        median_left=f"{min(99.0, median):.1f}",
        median=three(spread.median),
    )


def _listed(compared: Compared, change: UnitChange, value: str) -> Listed:
    return Listed(change.unit.layer, unit_link(compared, change, ""), value)
