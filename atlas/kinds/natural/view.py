"""Photographs on the pages: the responses of units to them, and their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from atlas import paths
from atlas.kinds.examples import KIND as EXAMPLES
from atlas.kinds.examples import StripLayout
from atlas.kinds.natural import KIND, NaturalRecord
from atlas.kinds.natural.histograms import N_BINS, outline
from atlas.kinds.natural.prepared import prepared_of
from atlas.kinds.natural.whole import PARTS, numbers_of_wholes, part_of
from atlas.sheets import SMALL_PX, Sprite
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Cell, Fact, cell_of
from atlas.units import Layer, Unit
from atlas.vocabulary import Score, score_of, words_of

RANKS = ("strong", "middle", "weak")  # of the examples beside the strongest, from top to bottom
HISTOGRAM_HEIGHT = 20  # in its own units; a bin is one wide
NUMBER_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")  # from two on
N_FOR_SHARES = 10  # photographs, of which one is a tenth


class ExampleRow(NamedTuple):
    """A row of examples: three of the strongest, and beside them one that is less strong."""

    strip: Cell  # the picture that the row is cut from
    examples: tuple[str, ...]  # the response to each and its class; empty where there is none


class Histogram(NamedTuple):
    """How the responses to photographs are spread."""

    outline: str  # as text for SVG
    zero: str | None  # position of 0, None if it is not among the responses
    low: str
    high: str
    words: str


class Example(NamedTuple):
    """A whole photograph, of which the part is shown that a unit sees."""

    href: str | None  # None if it is not on the site
    part: str  # left, top and side in thousandths of the photograph; empty if it is all of it
    text: str  # the response and the class


class Wholes(NamedTuple):
    """Examples where photographs are on the site as a whole."""

    strongest: tuple[Example, ...]
    others: tuple[Example, ...]  # a strong, a middle and a weak one
    pixelated: bool  # whether their parts are small and enlarged without smoothing


class Strips(NamedTuple):
    """Examples where only crops of photographs are on the site."""

    rows: tuple[ExampleRow, ...]
    pixelated: bool  # whether they are small and enlarged without smoothing


class PhotographsView(NamedTuple):
    """Examples with their numbers, and what was counted over all photographs."""

    wholes: Wholes | None
    strips: Strips | None  # in their place
    counted: str  # "the nine strongest"
    histogram: Histogram | None
    facts: tuple[Fact, ...]


def median_words(contents: Contents, layer: Layer) -> str:
    """What a layer's units responded to, for their median response."""
    record = contents.layer_record(layer, KIND)
    return f"the best of {_n_photographs(record)}" if record else ""


def front_facts(contents: Contents) -> Iterator[Fact]:
    """The number of photographs, which is the same for all layers."""
    records = (contents.layer_record(layer, KIND) for layer in contents.facts.layers)
    record = next((record for record in records if record), None)
    if record:
        unread = (
            f"; {wording.count(record.n_skipped)} could not be read" if record.n_skipped else ""
        )
        yield Fact("Photographs", f"{wording.count(record.n_images)}{unread}", about="natural")


def section_view(contents: Contents, layer: Layer, unit: Unit) -> PhotographsView | None:
    """A unit's responses to photographs, None if it was shown none."""
    record = contents.layer_record(layer, KIND)
    if record is None or not record.top or not record.spread or not record.top[unit.index]:
        return None
    classes = prepared_of(contents, layer).class_names
    wholes = _wholes(contents, layer, record, unit.index, classes)
    return PhotographsView(
        wholes=wholes,
        strips=None if wholes else _strips(contents, layer, record, unit.index, classes),
        counted=_counted(len(record.top[unit.index])),
        histogram=_histogram(contents, layer, record, unit.index),
        facts=tuple(_facts(layer, record, unit.index, classes)),
    )


def _counted(n_strongest: int) -> str:
    """`the nine strongest`, and `the strongest` of one alone."""
    return f"the {NUMBER_WORDS[n_strongest - 2]} strongest" if n_strongest > 1 else "the strongest"


def favourites(contents: Contents, layer: Layer) -> Sequence[str | None]:
    """The class of photographs that drives each unit of a layer most; empty if there are none."""
    record = contents.layer_record(layer, KIND)
    if record is None or not record.favourite:
        return ()
    classes = prepared_of(contents, layer).class_names
    return [None if nth is None else classes[nth] for nth in record.favourite]


def _wholes(
    contents: Contents,
    layer: Layer,
    record: NaturalRecord,
    index: int,
    classes: Sequence[str],
) -> Wholes | None:
    if not numbers_of_wholes(contents):
        return None
    assert record.top and record.spread
    strongest, others = (
        tuple(_example(contents, layer, record, each, classes) for each in sightings[index])
        for sightings in (record.top, record.spread)
    )
    return Wholes(strongest, others, pixelated=layer.receptive_field_px < SMALL_PX)


def _strips(
    contents: Contents,
    layer: Layer,
    record: NaturalRecord,
    index: int,
    classes: Sequence[str],
) -> Strips | None:
    sprite = contents.sprite(layer, index, EXAMPLES)
    if sprite is None:
        return None
    rows = tuple(_rows(sprite, record, index, classes))
    return Strips(rows, pixelated=sprite.size_px[0] < 3 * SMALL_PX)


def _example(
    contents: Contents,
    layer: Layer,
    record: NaturalRecord,
    sighting: Sequence[float],
    classes: Sequence[str],
) -> Example:
    part, text = part_of(contents, layer, record, sighting), _words(record, sighting, classes)
    if part is None:
        return Example(None, "", text)
    window = "" if part.side == PARTS else f"{part.left} {part.top} {part.side}"
    return Example(f"../{paths.photograph(part.number)}", window, text)


def _words(record: NaturalRecord, sighting: Sequence[float], classes: Sequence[str]) -> str:
    """The response to a photograph, and its class."""
    number = record.file_classes[int(sighting[0])]
    label = f" {classes[number]}" if number >= 0 else ""
    return f"{wording.signed(sighting[-1], 1)}{label}"


def _rows(
    sprite: Sprite, record: NaturalRecord, index: int, classes: Sequence[str]
) -> Iterator[ExampleRow]:
    """The rows of a strip, as it was drawn."""
    assert record.top and record.spread
    top = [_words(record, each, classes) for each in record.top[index]]
    spread = [_words(record, each, classes) for each in record.spread[index]]
    n_top = StripLayout.top_columns
    for nth, rank in enumerate(RANKS):
        shown = top[n_top * nth : n_top * (nth + 1)]
        strongest = [*shown, *[""] * (n_top - len(shown))]
        alt = _row_words(n_top * nth + 1, len(shown), rank)
        yield ExampleRow(cell_of(sprite, alt), (*strongest, *spread[nth : nth + 1]))


def _row_words(first: int, n: int, rank: str) -> str:
    """`Photographs 4 to 6, and a middle one`, as far as there are so many."""
    if n == 0:
        return f"A {rank} photograph"
    strongest = f"Photographs {first} to {first + n - 1}" if n > 1 else f"Photograph {first}"
    return f"{strongest}, and a {rank} one"


def _histogram(
    contents: Contents, layer: Layer, record: NaturalRecord, index: int
) -> Histogram | None:
    counts = prepared_of(contents, layer).counts
    if counts is None or not record.lowest or not record.highest or not record.spread:
        return None
    score, low, high = score_of(layer), record.lowest[index], record.highest[index]
    zero = f"{N_BINS * -low / (high - low):.1f}" if low < 0 < high else None
    return Histogram(
        outline=outline(counts[index], HISTOGRAM_HEIGHT),
        zero=zero,
        low=wording.signed(low, 1),
        high=wording.response(score, high, 1),
        words=_histogram_words(score, int(counts[index].sum()), record.spread[index]),
    )


def _histogram_words(score: Score, n_images: int, spread: Sequence[Sequence[float]]) -> str:
    """How the responses to photographs are spread, as far as there are enough for that."""
    counted = wording.count(n_images, "photograph")
    if n_images < N_FOR_SHARES:
        return f"Responses to {counted}."
    strong, middle, _ = (wording.response(score, each[-1], 1) for each in spread)
    return f"Of {counted}, half drive it further than {middle}, one in ten past {strong}."


def _n_photographs(record: NaturalRecord) -> str:
    """`1,000 photographs`."""
    return wording.count(record.n_images, "photograph")


def _facts(
    layer: Layer, record: NaturalRecord, index: int, classes: Sequence[str]
) -> Iterator[Fact]:
    if record.fires and record.active:
        words = words_of(layer)
        value = words.fires_in.format(
            share=f"{wording.share(record.fires[index])} of {_n_photographs(record)}",
            positions=wording.share(record.active[index]),
        )
        yield Fact(words.fires, value, about="fires")
    if record.selectivity and record.favourite:
        selectivity, favourite = record.selectivity[index], record.favourite[index]
        if selectivity is not None and favourite is not None:
            value = f"{wording.plain(selectivity)}, for {classes[favourite]}"
            yield Fact("Class selectivity", value, about="selectivity")
