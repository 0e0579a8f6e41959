"""The views of a comparison's pages: of both networks, of one layer, and of one pair of units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from atlas import paths
from atlas.cache import Entry
from atlas.comparing.comparison import Ranking
from atlas.comparing.ranking import Alike, Exchange, LayerChange, Spread, UnitChange, most_changed
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.filter import KIND as FILTER
from atlas.sheets import SMALL_PX, SheetKind, SheetPlace
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Cell, Fact, Head, Link
from atlas.units import Layer
from atlas.vocabulary import score_of, words_of

SIDES = ("a", "b")
N_MOST = 24  # pairs on the front page
N_LISTED = 12  # units in each of its other rankings
SHOWN_PX = 320  # least shown side of a unit's picture
LEAST_END = 0.1  # of an axis, so that a tiny change does not look like a large one
PAIRS = {side: SheetKind(f"pairs-{side}", columns=6, cell_px=128, quality=55) for side in SIDES}
MOST = {side: SheetKind(f"changed-{side}", columns=6, cell_px=128, quality=55) for side in SIDES}


@dataclass(frozen=True)
class Compared:
    """What was found, and the contents of both networks' atlases."""

    ranking: Ranking
    a: Contents
    b: Contents

    @cached_property
    def by_layer(self) -> Mapping[str, LayerChange]:
        """What was found, by layer."""
        return {change.layer.name: change for change in self.ranking.layers}

    @cached_property
    def picked(self) -> Mapping[str, tuple[UnitChange, ...]]:
        """By layer, the units that have a page, in the order of the ranking."""
        n_pictured = self.ranking.n_pictured
        return {name: change.picked(n_pictured) for name, change in self.by_layer.items()}

    @cached_property
    def most(self) -> tuple[UnitChange, ...]:
        """The most changed of the units that have a page, which are a few of each layer."""
        picked = [unit for units in self.picked.values() for unit in units]
        return most_changed(picked, lambda unit: unit.change)[:N_MOST]

    @cached_property
    def most_by_answers(self) -> tuple[UnitChange, ...]:
        """The most changed units of the whole network."""
        changed = (unit for unit in self._units() if unit.change > 0)
        return most_changed(changed, lambda unit: unit.change)[:N_LISTED]

    def most_by_filters(self) -> tuple[UnitChange, ...]:
        """The units whose weights have turned most."""
        changed = (unit for unit in self._units() if unit.turned)
        return most_changed(changed, lambda unit: unit.turned)[:N_LISTED]

    def most_by_pictures(self) -> tuple[UnitChange, ...]:
        """The units that answer least to each other's pictures."""
        changed = (unit for unit in self._units() if unit.lost)
        return most_changed(changed, lambda unit: unit.lost)[:N_LISTED]

    def _units(self) -> Iterable[UnitChange]:
        return (unit for change in self.ranking.layers for unit in change.units)

    def layer(self, change: UnitChange) -> Layer:
        """The layer of a pair of units."""
        return self.by_layer[change.unit.layer].layer

    def entries(self, change: UnitChange, kind: str) -> tuple[Entry | None, Entry | None]:
        """The artifacts of one kind of a pair of units."""
        layer = self.layer(change)
        return (
            self.a.entries.get(change.unit.id, {}).get(kind),
            self.b.entries.get(layer.unit(change.partner).id, {}).get(kind),
        )

    def page(self, change: UnitChange) -> str | None:
        """Path of the page of a pair of units, None if it has none."""
        has_page = change in self.picked[change.unit.layer]
        return paths.unit_page(change.unit) if has_page else None

    def title(self, change: UnitChange) -> str:
        """What a unit is called in a heading."""
        return self.a.title(self.layer(change), change.unit.index)

    def names(self) -> tuple[str, str]:
        """What the weights are called."""
        return self.a.facts.weights, self.b.facts.weights


class Band(NamedTuple):
    """Where the middle eight tenths of a layer's units lie on an axis, in percent."""

    left: str
    width: str
    median_left: str
    median: str  # in words


class PairView(NamedTuple):
    """A unit of A beside its partner in B, small, in a grid."""

    link: Link
    layer: str | None  # where the page does not say it
    cells: tuple[Cell | None, Cell | None]
    note: str


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


class UnitRow(NamedTuple):
    """One unit in the table of all units of a layer."""

    link: Link
    answers: str
    alike: str
    cosine: str
    length: str
    kept: str


class Group(NamedTuple):
    """Pairs under a heading."""

    heading: str
    words: str
    pairs: tuple[PairView, ...]


class LayerPage(NamedTuple):
    """View of `comparison/layer.html`."""

    head: Head
    name: str
    subtitle: str
    facts: tuple[Fact, ...]
    findings: tuple[str, ...]
    groups: tuple[Group, ...]
    noun: str
    is_paired: bool
    n_changed: str
    rows: tuple[UnitRow, ...]
    unchanged: str | None  # how many units are left out of the rows
    previous: Link | None
    next: Link | None


class Picture(NamedTuple):
    """A picture of one unit."""

    src: str
    alt: str
    shown_px: int
    pixelated: bool


class SideView(NamedTuple):
    """One of two units, with its pictures."""

    letter: str  # "A" or "B"
    weights: str  # name of the weights
    unit: str  # "unit 12"
    picture: Picture | None
    filters: Picture | None


class ExchangeRow(NamedTuple):
    """What both units answer to one picture."""

    picture: str
    a: str
    b: str


class UnitPage(NamedTuple):
    """View of `comparison/unit.html`."""

    head: Head
    layer: Link
    heading: str
    subtitle: str
    sides: tuple[SideView, SideView]
    answers: tuple[Fact, ...]
    filters: tuple[Fact, ...]
    exchange: tuple[ExchangeRow, ...]
    kept: str | None
    score: str  # explains the numbers of the exchange
    images: str
    previous: Link | None
    next: Link | None


# The front page --------------------------------------------------------------------------------


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
            section="comparison",
        ),
        names=compared.names(),
        facts=_network_facts(compared),
        findings=tuple(_network_findings(compared)),
        images=ranking.images,
        most=tuple(
            _pair_view(compared, unit, nth, MOST, root="") for nth, unit in enumerate(compared.most)
        ),
        rows=tuple(_layer_row(compared, change, answers_end, filters_end) for change in changes),
        answers_end=f"{answers_end:g}",
        filters_end=f"{filters_end:g}",
        n_pictured=ranking.n_pictured,
        by_answers=tuple(
            _listed(compared, unit, _answers(unit)) for unit in compared.most_by_answers
        ),
        by_filters=tuple(
            _listed(compared, unit, _three(unit.cosine)) for unit in compared.most_by_filters()
        ),
        by_pictures=tuple(
            _listed(compared, unit, _kept(unit)) for unit in compared.most_by_pictures()
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
        yield (
            f"{wording.count(len(equal), 'layer')} of {len(changes)} compute the same in both "
            f"networks, because neither their weights nor anything before them differs: "
            f"{_spelled(equal)}."
        )
    if others:
        yield _pairing(others)
    if compared.most_by_answers:
        first = compared.most_by_answers[0]
        yield (
            f"The unit that differs most is {first.unit.id}: the answers of A and B to the same "
            f"images have {_correlation_words(first)}."
        )
    if compared.ranking.left_out:
        yield f"{compared.ranking.left_out}."


def _pairing(others: Sequence[LayerChange]) -> str:
    unpaired = [change.layer.name for change in others if not change.is_paired]
    if not unpaired:
        lowest = wording.share(min((each.own_share or 0.0 for each in others), default=0.0))
        return (
            f"In every layer that differs, {lowest} of A’s units or more are most like the unit "
            "of B with their own number, so units are compared number by number."
        )
    which = "all" if len(unpaired) == len(others) else str(len(unpaired))
    return (
        f"In {which} of {wording.count(len(others), 'layer')} that differ, less than a tenth of "
        "A’s units are most like the unit of B with their own number, as in networks that were "
        "trained independently, where numbers mean nothing. There each unit of A is compared with "
        f"the unit of B whose answers are most like its own: {_spelled(unpaired)}."
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
        most=_listed(compared, first, _answers(first)) if first.change > 0 else None,
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
        median=_three(spread.median),
    )


def _listed(compared: Compared, change: UnitChange, value: str) -> Listed:
    return Listed(change.unit.layer, _unit_link(compared, change, ""), value)


# The page of a layer ---------------------------------------------------------------------------


def layer_view(compared: Compared, name: str) -> LayerPage:
    """The page of one layer."""
    change = compared.by_layer[name]
    layer, words, network = change.layer, words_of(change.layer), compared.a.facts.name
    names = [each.layer.name for each in compared.ranking.layers]
    before, after = _neighbours(names, name)
    changed = [unit for unit in change.units if unit.change > 0 or unit.turned]
    return LayerPage(
        head=Head(
            title=f"{name} · {network}: two weight sets compared",
            description=f"How far the units of {name} in {network} differ between two weight sets.",
            root="../",
        ),
        name=name,
        subtitle=words.layer_subtitle.format(
            kernel=wording.pair(layer.kernel),
            where=f"block {layer.block}" if layer.block else layer.stage,
            units=wording.count(layer.n_units, words.noun, words.plural),
        ),
        facts=_layer_facts(change),
        findings=tuple(_layer_findings(change)),
        groups=tuple(_groups(compared, change)),
        noun=words.noun.capitalize(),
        is_paired=change.is_paired,
        n_changed=wording.count(len(changed), words.noun, words.plural),
        rows=tuple(_unit_row(compared, unit) for unit in changed),
        unchanged=_unchanged(change, len(change.units) - len(changed)),
        previous=Link(before, f"../{paths.layer_page(before)}") if before else None,
        next=Link(after, f"../{paths.layer_page(after)}") if after else None,
    )


def _layer_facts(change: LayerChange) -> tuple[Fact, ...]:
    answers, filters = change.answers, change.filters
    if change.is_equal or answers is None:
        return ()
    facts = [Fact("Median correlation of answers", _three(1 - answers.median))]
    if filters:
        facts.append(Fact("Median cosine of weights", _three(1 - filters.median)))
    if change.own_share is not None:
        share = wording.share(change.own_share)
        facts.append(Fact("Like their own number", share))
    return tuple(facts)


def _layer_findings(change: LayerChange) -> Iterable[str]:
    if change.is_equal:
        yield (
            "This layer computes the same in both networks: neither its weights nor anything "
            "before it differs."
        )
        return
    if not change.is_paired:
        yield (
            "Less than a tenth of A’s units are most like the unit of B with their own number. So "
            "each unit of A is compared with the unit of B whose answers are most like its own; "
            "several may share one. Weights are not compared, as the numbers of their inputs may "
            "mean other units as well."
        )
    words = words_of(change.layer)
    constant = [unit for unit in change.units if unit.constant]
    if constant:
        yield (
            f"{wording.count(len(constant), words.noun, words.plural)} gave the same response "
            "everywhere in one of the networks or in both, so there is no correlation."
        )


def _groups(compared: Compared, change: LayerChange) -> Iterable[Group]:
    picked = compared.picked[change.layer.name]
    views = [_pair_view(compared, unit, nth, PAIRS, root="../") for nth, unit in enumerate(picked)]
    changed = [unit for unit in change.units if unit.change > 0]
    if not views:
        return
    if change.is_paired or len(changed) <= len(picked):
        yield Group("Differ most", "A on the left, B on the right.", tuple(views))
        return
    n_least = len(picked) - len(picked) // 2
    yield Group(
        "Without a good counterpart",
        "A’s unit on the left, and on the right the unit of B that is most like it.",
        tuple(views[:n_least]),
    )
    yield Group(
        "Best counterparts",
        "Units of A that have learned nearly what the unit of B beside them has.",
        tuple(views[n_least:]),
    )


def _unchanged(change: LayerChange, n_units: int) -> str | None:
    """A sentence about the units that answer the same and have the same weights."""
    if not n_units or change.is_equal:
        return None
    words = words_of(change.layer)
    verb = "has" if n_units == 1 else "have"
    counted = wording.count(n_units, f"other {words.noun}", f"other {words.plural}")
    return f"The {counted} {verb} equal weights and equal answers."


def _unit_row(compared: Compared, change: UnitChange) -> UnitRow:
    return UnitRow(
        link=_unit_link(compared, change, "../"),
        answers=_answers(change),
        alike=_alike(compared, compared.layer(change), change.alike_in_b),
        cosine=_three(change.cosine),
        length="" if change.norm_ratio is None else f"× {change.norm_ratio:.3g}",
        kept=_kept(change),
    )


# The page of a pair of units -------------------------------------------------------------------


def unit_view(compared: Compared, change: UnitChange) -> UnitPage:
    """The page of one pair of units."""
    layer, title = compared.layer(change), compared.title(change)
    picked = compared.picked[layer.name]
    before, after = _neighbours(picked, change)
    score = score_of(layer)
    return UnitPage(
        head=Head(
            title=f"{title} · {layer.name} · {compared.a.facts.name}: two weight sets compared",
            description=f"{title} of {layer.name} in two weight sets, side by side.",
            root="../",
        ),
        layer=Link(layer.name, f"../{paths.layer_page(layer.name)}"),
        heading=title,
        subtitle=_subtitle(layer, change),
        sides=_sides(compared, layer, change),
        answers=tuple(_answer_facts(compared, change)),
        filters=tuple(_filter_facts(change)),
        exchange=_exchange_rows(layer, change.exchange) if change.exchange else (),
        kept=_kept(change) or None,
        score=score.words,
        images=compared.ranking.images,
        previous=_unit_link(compared, before, "../") if before else None,
        next=_unit_link(compared, after, "../") if after else None,
    )


def _subtitle(layer: Layer, change: UnitChange) -> str:
    subtitle = words_of(layer).unit_subtitle.format(
        index=change.unit.index,
        count=wording.count(layer.n_units),
        kernel=wording.pair(layer.kernel),
    )
    if change.partner == change.unit.index:
        return f"{layer.name}: {subtitle}, in both networks"
    return f"{layer.name}: {subtitle} in A, beside number {change.partner} in B"


def _sides(compared: Compared, layer: Layer, change: UnitChange) -> tuple[SideView, SideView]:
    pictures = compared.entries(change, EXCITATORY.name)
    weights = compared.entries(change, FILTER.name)
    noun = words_of(layer).noun
    a, b = (
        SideView(
            letter=side.upper(),
            weights=name,
            unit=f"{noun} {index}",
            picture=_picture(
                paths.compared_picture(layer.name, side, index),
                picture,
                f"Synthetic picture that excites {noun} {index} of {layer.name} in {side.upper()}",
            ),
            filters=_picture(
                paths.compared_weights(layer.name, side, index),
                drawn,
                f"Weights of {noun} {index} of {layer.name} in {side.upper()}",
            ),
        )
        for side, name, index, picture, drawn in zip(
            SIDES,
            compared.names(),
            (change.unit.index, change.partner),
            pictures,
            weights,
            strict=True,
        )
    )
    return a, b


def _picture(path: str, entry: Entry | None, alt: str) -> Picture | None:
    if entry is None:
        return None
    width_px = max(1, entry.width_px)
    is_small = width_px < SMALL_PX
    shown_px = width_px * max(1, SHOWN_PX // width_px) if is_small else max(width_px, SHOWN_PX)
    return Picture(paths.file_name(path), alt, shown_px, is_small)


def _answer_facts(compared: Compared, change: UnitChange) -> Iterable[Fact]:
    layer = compared.layer(change)
    yield Fact("Correlation of A and B", _answers(change))
    yield Fact("Most like it in B", _alike(compared, layer, change.alike_in_b))
    yield Fact("Most like B’s unit in A", _alike(compared, layer, change.alike_in_a))


def _filter_facts(change: UnitChange) -> Iterable[Fact]:
    if change.cosine is not None:
        yield Fact("Cosine of the weights", _three(change.cosine))
    if change.norm_ratio is not None:
        yield Fact("Length of the weights", f"{change.norm_ratio:.3g} times as long in B")


def _exchange_rows(layer: Layer, exchange: Exchange) -> tuple[ExchangeRow, ...]:
    score = score_of(layer)

    def spelled(response: float | None) -> str:
        return "no picture" if response is None else wording.response(score, response, 1)

    return (
        ExchangeRow("A’s picture", spelled(exchange.a_to_a), spelled(exchange.b_to_a)),
        ExchangeRow("B’s picture", spelled(exchange.a_to_b), spelled(exchange.b_to_b)),
    )


# Parts of several pages ------------------------------------------------------------------------


def sheet_places(
    units: Sequence[UnitChange], kind: SheetKind
) -> Iterable[tuple[UnitChange, SheetPlace]]:
    """The place of each pair's picture on a sheet: in the order of the pairs."""
    return ((unit, kind.place(nth)) for nth, unit in enumerate(units))


def _pair_view(
    compared: Compared,
    change: UnitChange,
    position: int,
    sheets: Mapping[str, SheetKind],
    root: str,
) -> PairView:
    on_front = root == ""
    pictures = compared.entries(change, EXCITATORY.name)
    a, b = (
        _cell(compared, change, side, sheets[side].place(position)) if entry else None
        for side, entry in zip(SIDES, pictures, strict=True)
    )
    return PairView(
        link=_unit_link(compared, change, root),
        layer=change.unit.layer if on_front else None,
        cells=(a, b),
        note=_answers(change),
    )


def _cell(compared: Compared, change: UnitChange, side: str, place: SheetPlace) -> Cell:
    index = change.unit.index if side == "a" else change.partner
    noun = words_of(compared.layer(change)).noun
    alt = f"Synthetic picture that excites {noun} {index} in {side.upper()}"
    return Cell(place.sheet, place.column, place.row, alt)


def _unit_link(compared: Compared, change: UnitChange, root: str) -> Link:
    page = compared.page(change)
    label = compared.a.label(compared.layer(change), change.unit.index)
    text = label or str(change.unit.index)
    if change.partner != change.unit.index:
        text = f"{text} and {change.partner}"
    return Link(text, f"{root}{page}" if page else None)


def _neighbours(every: Sequence[object], one: object) -> tuple:  # type: ignore[type-arg]
    """What comes before and after, None at the ends."""
    padded = [None, *every, None]
    position = padded.index(one)
    return padded[position - 1], padded[position + 1]


def _three(value: float | None) -> str:
    """`0.998` or `−0.050`, with a true minus and without a plus."""
    return "" if value is None else wording.signed(value, 3).lstrip("+")


def _answers(change: UnitChange) -> str:
    """The correlation of a pair's answers, or why there is none."""
    return _three(change.answers) or _constant(change)


def _kept(change: UnitChange) -> str:
    kept = change.exchange.kept if change.exchange else None
    return "" if kept is None else wording.share(kept)


def _alike(compared: Compared, layer: Layer, alike: Alike | None) -> str:
    """The most similar unit of the other network, with the correlation."""
    if alike is None:
        return "none"
    text = compared.a.label(layer, alike.index) or str(alike.index)
    return f"{text} ({_three(alike.correlation)})"


def _constant(change: UnitChange) -> str:
    return "constant in both" if change.constant == "both" else f"constant in {change.constant}"


def _correlation_words(change: UnitChange) -> str:
    if change.answers is None:
        return f"no correlation, as it is {_constant(change)}"
    return f"a correlation of {_three(change.answers)}"
