"""Photographs on the pages: the responses of units to them, and their number."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from atlas.kinds.examples import KIND as EXAMPLES
from atlas.kinds.natural import KIND, NaturalRecord
from atlas.labels import class_names
from atlas.sheets import SMALL_PX
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Cell, Fact, cell_of
from atlas.text import displayable_name
from atlas.units import Layer, NetworkFacts, Unit
from atlas.vocabulary import Score, score_of, words_of

N_NAMED = 3  # classes named for the strongest examples


class PhotographsView(NamedTuple):
    """A strip of examples with its caption and numbers."""

    strip: Cell | None  # None if no examples were cut from the photographs
    pixelated: bool  # whether it is small and enlarged without smoothing
    strongest: str
    others: str
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
    classes = _class_names(record, contents.facts)
    sprite = contents.sprite(layer, unit.index, EXAMPLES)
    alt = f"Parts of photographs that drive {contents.title(layer, unit.index)}, strongest first"
    top, score = record.top[unit.index], score_of(layer)
    return PhotographsView(
        strip=cell_of(sprite, alt) if sprite else None,
        pixelated=sprite is not None and sprite.size_px[0] < 3 * SMALL_PX,
        strongest=_strongest(score, top, record.file_classes, classes),
        others=_others(score, record.spread[unit.index]),
        facts=tuple(_facts(layer, record, unit.index, classes)),
    )


def favourites(contents: Contents, layer: Layer) -> Sequence[str | None]:
    """The class of photographs that drives each unit of a layer most; empty if there are none."""
    record = contents.layer_record(layer, KIND)
    if record is None or not record.favourite:
        return ()
    classes = _class_names(record, contents.facts)
    return [None if nth is None else classes[nth] for nth in record.favourite]


def _class_names(record: NaturalRecord, facts: NetworkFacts) -> Sequence[str]:
    """Names of the photographs' classes: the network's labels if the folders match them."""
    return _cached_class_names(tuple(record.classes), facts.labels, facts.label_ids)


@functools.lru_cache(maxsize=8)  # called with the same arguments for every unit's page
def _cached_class_names(
    classes: tuple[str, ...], labels: tuple[str, ...], label_ids: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(displayable_name(name) for name in class_names(classes, labels, label_ids))


def _n_photographs(record: NaturalRecord) -> str:
    """`1,000 photographs`."""
    return wording.count(record.n_images, "photograph")


def _strongest(
    score: Score,
    top: Sequence[Sequence[float]],
    file_classes: Sequence[int],
    classes: Sequence[str],
) -> str:
    """`Left: the strongest, +15.7 to +12.1 σ; 5 goldfish, 2 tench`."""
    first, last = (wording.signed(response, 1) for response in (top[0][-1], top[-1][-1]))
    values = first if first == last else f"{first} to {last}"
    seen = Counter(classes[number] for file, *_ in top if (number := file_classes[int(file)]) >= 0)
    named = ", ".join(f"{count} {label}" for label, count in seen.most_common(N_NAMED))
    return f"Left: the strongest, {values}{score.suffix}{f'; {named}' if named else ''}"


def _others(score: Score, spread: Sequence[Sequence[float]]) -> str:
    """The caption of the three examples on the right, from top to bottom."""
    values = [wording.signed(example[-1], 1) for example in spread]
    return f"Right: a strong, a middle and a weak one, {', '.join(values)}{score.suffix}"


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
