"""The page of a pair of units: their pictures side by side, and all that was measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from atlas import paths
from atlas.cache import Entry
from atlas.comparing.compared import (
    SIDES,
    Compared,
    alike_words,
    answers_words,
    kept_words,
    neighbours,
    three,
    unit_link,
)
from atlas.comparing.ranking import Exchange, UnitChange
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.filter import KIND as FILTER
from atlas.sheets import SMALL_PX
from atlas.site import wording
from atlas.site.parts import Fact, Head, Link
from atlas.units import Layer
from atlas.vocabulary import score_of, words_of

SHOWN_PX = 320  # least shown side of a unit's picture


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


def unit_view(compared: Compared, change: UnitChange) -> UnitPage:
    """The page of one pair of units."""
    layer, title = compared.layer(change), compared.title(change)
    picked = compared.picked[layer.name]
    before, after = neighbours(picked, change)
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
        kept=kept_words(change) or None,
        score=score.words,
        images=compared.ranking.images,
        previous=unit_link(compared, before, "../") if before else None,
        next=unit_link(compared, after, "../") if after else None,
    )


def _subtitle(layer: Layer, change: UnitChange) -> str:
    subtitle = words_of(layer).unit_subtitle.format(
        index=change.unit.index,
        count=wording.count(layer.n_units),
        kernel=wording.kernel(layer),
    )
    if change.partner == change.unit.index:
        return f"{layer.name}: {subtitle}, in both networks"
    if layer.is_classifier:
        return f"{layer.name}: {subtitle}; in B it is class {change.partner}"
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
    yield Fact("Correlation of A and B", answers_words(change))
    yield Fact("Most like it in B", alike_words(compared.labelled_b, layer, change.alike_in_b))
    yield Fact("Most like B’s unit in A", alike_words(compared.a, layer, change.alike_in_a))


def _filter_facts(change: UnitChange) -> Iterable[Fact]:
    if change.cosine is not None:
        yield Fact("Cosine of the weights", three(change.cosine))
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
